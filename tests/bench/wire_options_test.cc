// What sluice-bench may be asked for, and what it says to what it may not.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "bench/wire/flows.h"
#include "bench/wire/options.h"

namespace sluice {
namespace {

absl::StatusOr<WireOptions> Parse(const std::string& line) {
  return ParseWireOptions(absl::StrSplit(line, ' ', absl::SkipEmpty()));
}

TEST(WireOptionsTest, AClient) {
  const auto options = Parse(
      "client --to 10.9.0.1:80 --from 10.66.0.0/16 --rate 50k --flows 1M --new 10% --size 512 --seconds 2.5 "
      "--format json");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->target.ToString(), "10.9.0.1:80");
  EXPECT_EQ(options->target.protocol, Protocol::kUdp);
  EXPECT_EQ(options->first_source.ToString(), "10.66.0.1");
  EXPECT_EQ(options->sources, 65534u);
  EXPECT_EQ(options->rate, 50'000);
  EXPECT_EQ(options->flows, 1'000'000u);
  EXPECT_EQ(options->fresh, 0.1);
  EXPECT_EQ(options->size, 512u);
  EXPECT_EQ(options->seconds, 2.5);
  EXPECT_TRUE(options->json);
}

TEST(WireOptionsTest, OfIpv6AndOfTcp) {
  const auto v6 = Parse("client --to [fd00::1]:53 --from fd01::/64");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->target.ToString(), "[fd00::1]:53");
  EXPECT_EQ(v6->first_source.ToString(), "fd01::1");
  const auto tcp = Parse("client --to 10.9.0.1:80 --protocol tcp --concurrency 7");
  ASSERT_TRUE(tcp.ok()) << tcp.status();
  EXPECT_EQ(tcp->target.protocol, Protocol::kTcp);
  EXPECT_EQ(tcp->concurrency, 7u);
}

TEST(WireOptionsTest, AServer) {
  const auto options = Parse("server --listen 10.9.0.1:80 --listen [fd00::1]:80 --answer no");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen.size(), 2u);
  EXPECT_FALSE(options->answers);
  EXPECT_EQ(options->seconds, 0);
}

TEST(WireOptionsTest, WrongUseIsExplained) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "which side? client or server"},
      {"both", "which side? client or server"},
      {"client", "a client needs --to"},
      {"client --to 10.9.0.1:80", "udp needs --from, the addresses of its clients"},
      {"client --to 10.9.0.1:80 --from fd00::/64", "--from and --to are of different families"},
      {"client --to 10.9.0.1", "--to 10.9.0.1: must be ADDRESS:PORT or [ADDRESS]:PORT"},
      {"client --to 10.9.0.1:0", "--to 10.9.0.1:0: must be ADDRESS:PORT or [ADDRESS]:PORT"},
      {"client --to fd00::1:80", "--to fd00::1:80: must be ADDRESS:PORT or [ADDRESS]:PORT"},
      {"client --to", "--to needs a value"},
      {"client --listen 10.9.0.1:80", "a client does not know --listen"},
      {"client --rate 0", "--rate 0: must be a number above 0, as 50k"},
      {"client --rate fast", "--rate fast: must be a number above 0, as 50k"},
      {"client --rate nan", "--rate nan: must be a number above 0, as 50k"},
      {"client --new 10", "--new 10: must be 0% to 100%"},
      {"client --new 101%", "--new 101%: must be 0% to 100%"},
      {"client --size 59", "--size 59: must be 60 to 1514"},
      {"client --flows 5M", "--flows 5M: must be 1 to 4M"},
      {"client --from 10.0.0.0/33", "--from 10.0.0.0/33: must be a network, as 10.9.0.0/16"},
      {"client --protocol sctp", "--protocol sctp: must be udp or tcp"},
      {"server", "a server needs --listen"},
      {"server --to 10.9.0.1:80", "a server does not know --to"},
  };
  for (const auto& [line, message] : wrong) EXPECT_EQ(Parse(line).status().message(), message) << line;
}

TEST(WireFlowsTest, EveryFlowIsAnother) {
  const WireFlows flows(*IpAddress::Parse("10.66.0.1"), 3);
  EXPECT_EQ(flows.count(), 3u * 64000);
  EXPECT_EQ(EndpointToString(flows.SourceOf(0), flows.PortOf(0)), "10.66.0.1:1024");
  EXPECT_EQ(EndpointToString(flows.SourceOf(2), flows.PortOf(2)), "10.66.0.3:1024");
  EXPECT_EQ(EndpointToString(flows.SourceOf(3), flows.PortOf(3)), "10.66.0.1:1025");
  EXPECT_EQ(EndpointToString(flows.SourceOf(3 * 64000 - 1), flows.PortOf(3 * 64000 - 1)), "10.66.0.3:65023");
}

}  // namespace
}  // namespace sluice
