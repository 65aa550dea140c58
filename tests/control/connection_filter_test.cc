// Which connections a filter admits, and which filters make no sense.
#include "control/connection_filter.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::ElementsAre;

Endpoint At(const char* address, uint16_t port) {
  return {*IpAddress::Parse(address), Be16::FromHost(port), Protocol::kTcp};
}

v1::ListConnectionsRequest Request(const std::string& text) {
  v1::ListConnectionsRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// Which of three connections.
std::vector<int> Admitted(const std::string& text, const std::vector<bool>& members = {}) {
  const ConnectionStatus connections[] = {{.client = At("10.0.0.7", 1),
                                           .destination = At("10.1.0.1", 80),
                                           .state = "ESTABLISHED",
                                           .destination_id = 1},
                                          {.client = At("10.0.1.7", 2),
                                           .destination = At("10.1.0.1", 81),
                                           .state = "FIN_WAIT",
                                           .destination_id = 2},
                                          {.client = At("2001:db8::7", 3),
                                           .destination = At("2001:db8:1::1", 80),
                                           .state = "ESTABLISHED",
                                           .destination_id = 3}};
  Problems problems;
  std::optional<ConnectionFilter> filter = ConnectionFilter::Make(Request(text), problems);
  EXPECT_TRUE(filter) << text;
  if (!members.empty()) filter->LimitTo(members);
  std::vector<int> admitted;
  for (int i = 0; i < 3; ++i) {
    if (filter->Admits(connections[i])) admitted.push_back(i);
  }
  return admitted;
}

TEST(ConnectionFilterTest, Admits) {
  EXPECT_THAT(Admitted(""), ElementsAre(0, 1, 2));
  EXPECT_THAT(Admitted("client_prefix: '10.0.0.0/24'"), ElementsAre(0));
  EXPECT_THAT(Admitted("client_prefix: '10.0.0.0/8'"), ElementsAre(0, 1));
  EXPECT_THAT(Admitted("client_prefix: '2001:db8::/32'"), ElementsAre(2));
  EXPECT_THAT(Admitted("client_prefix: '10.0.1.7'"), ElementsAre(1));
  EXPECT_THAT(Admitted("destination: '10.1.0.1'"), ElementsAre(0, 1));
  EXPECT_THAT(Admitted("destination: '10.1.0.1:81'"), ElementsAre(1));
  EXPECT_THAT(Admitted("destination: '2001:db8:1::1'"), ElementsAre(2));
  EXPECT_THAT(Admitted("destination: '[2001:db8:1::1]:80'"), ElementsAre(2));
  EXPECT_THAT(Admitted("state: 'ESTABLISHED'"), ElementsAre(0, 2));
  EXPECT_THAT(Admitted("state: 'ESTABLISHED' client_prefix: '10.0.0.0/8'"), ElementsAre(0))
      << "all must hold";
  EXPECT_THAT(Admitted("", {false, false, true, true}), ElementsAre(1, 2));
}

TEST(ConnectionFilterTest, RefusesWhatMakesNoSense) {
  for (const char* text :
       {"client_prefix: '10.0.0.1/8'", "client_prefix: 'x'", "client_prefix: '10.0.0.0/33'",
        "destination: '10.1.0.1:'", "destination: '10.1.0.1:0'", "destination: '10.1.0.1:65536'",
        "destination: '[10.1.0.1]:80'", "destination: '2001:db8::1]:80'", "destination: ':80'",
        "destination: '[]:80'", "destination: ']:'", "state: 'established'", "state: 'NOPE'"}) {
    Problems problems;
    EXPECT_FALSE(ConnectionFilter::Make(Request(text), problems)) << text;
    EXPECT_EQ(problems.Count(), 1) << text;
  }
  Problems problems;
  EXPECT_FALSE(ConnectionFilter::Make(Request("client_prefix: 'x' destination: 'y' state: 'z'"), problems));
  EXPECT_EQ(problems.Count(), 3) << "all at once";
}

}  // namespace
}  // namespace sluice
