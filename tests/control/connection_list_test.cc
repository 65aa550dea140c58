// Connections as the kernel lists its own, and in a file of ours.
// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/connection_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "control/ipvs/saved_connections.h"
#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

TEST(ConnectionListTest, TheKernelsLines) {
  const auto nat = ParseConnection("TCP CB007101 9C41 0A006301 0050 0A000101 1F90 ESTABLISHED     893");
  ASSERT_TRUE(nat);
  EXPECT_EQ(nat->flow.source.ToString(), "203.0.113.1");
  EXPECT_EQ(nat->flow.source_port.ToHost(), 40001);
  EXPECT_EQ(nat->flow.destination.ToString(), "10.0.99.1");
  EXPECT_EQ(nat->server.ToString(), "10.0.1.1:8080");
  EXPECT_EQ(nat->state, kTcpEstablished);
  EXPECT_EQ(nat->expires_seconds, 893u);
  const auto v6 = ParseConnection(
      "TCP [2001:0db8:0000:0000:0000:0000:0000:0001] 0007 [2001:0db8:0000:0000:0000:0000:0000:0002] 0050 "
      "[2001:0db8:0000:0000:0000:0000:0000:0003] 0050 FIN_WAIT        119");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->server.ToString(), "[2001:db8::3]:80");
  EXPECT_EQ(v6->state, kTcpFinWait);
  EXPECT_TRUE(ParseConnection("UDP CB007101 03E7 0A006301 0035 0A000101 0035 UDP              299"));
  for (const char* line :
       {"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData", "",
        "TCP CB007101 0000 0A006301 0050 0A000101 0050 ESTABLISHED     299",
        "IP  CB007101 9C41 00000007 0000 0A000101 0000 NONE            299",
        "TCP CB007101 9C41 0A006301 0050 0A000101 1F90 NONSENSE        893",
        "TCP CB007101 9C41 0A006301 0050 0A000101 1F90 ESTABLISHED     x",
        "TCP CB0071 9C41 0A006301 0050 0A000101 1F90 ESTABLISHED 893", "TCP a b c d e f g h"})
    EXPECT_FALSE(ParseConnection(line)) << line;
}

TEST(ConnectionListTest, WhatIsWrittenIsRead) {
  for (const char* line :
       {"TCP CB007101 9C41 0A006301 0050 0A000101 1F90 ESTABLISHED 893",
        "TCP CB007101 0000 0A006301 0050 0A000101 0050 ASSURED 299",
        "IP CB007100 0000 00000007 0000 0A000101 0000 NONE 299",
        "UDP CB007101 03E7 0A006301 0035 0A000101 0035 UDP 299 0A000164 0400",
        "SCTP [2001:db8::1] 0007 [2001:db8::2] 0050 [2001:db8::3] 0050 ESTABLISHED 9 [2001:db8::64] FFFF"}) {
    const auto parsed = ParseConnection(line);
    ASSERT_TRUE(parsed) << line;
    EXPECT_EQ(FormatConnection(*parsed), line);
  }
  EXPECT_EQ(ParseConnection("TCP CB007101 9C41 0A006301 0050 0A000101 1F90 ESTABLISHED 893 sip call-id")
                ->local_port,
            Be16{})
      << "what a persistence engine of the kernel's has to say";
}

class SavedConnectionsTest : public testing::Test {
 protected:
  ~SavedConnectionsTest() override { unlink(path_.c_str()); }
  static ListedConnection Connection(const std::string& client, uint32_t expires) {
    return {.flow = {*IpAddress::Parse(client), *IpAddress::Parse("10.99.0.1"), Be16::FromHost(7),
                     Be16::FromHost(80), Protocol::kTcp},
            .server = {*IpAddress::Parse("10.1.0.1"), Be16::FromHost(8080), Protocol::kTcp},
            .local_address = *IpAddress::Parse("10.1.0.100"),
            .local_port = Be16::FromHost(1024),
            .state = kTcpEstablished,
            .expires_seconds = expires};
  }
  std::string Text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& text) const { std::ofstream(path_) << text; }

  const std::string path_ = testing::TempDir() + "sluice-saved-" + std::to_string(getpid());
};

TEST_F(SavedConnectionsTest, AreTakenOnce) {
  EXPECT_TRUE(TakeSavedConnections(path_)->empty()) << "there are none";
  ASSERT_TRUE(SaveConnections(path_, {Connection("10.0.0.1", 900), Connection("10.0.0.2", 60)}).ok());
  const auto taken = TakeSavedConnections(path_);
  ASSERT_TRUE(taken.ok());
  ASSERT_EQ(taken->size(), 2u);
  EXPECT_EQ(taken->at(0).local_address.ToString(), "10.1.0.100");
  EXPECT_EQ(taken->at(0).local_port.ToHost(), 1024);
  EXPECT_NEAR(taken->at(0).expires_seconds, 900, 30);
  EXPECT_TRUE(TakeSavedConnections(path_)->empty());
}

TEST_F(SavedConnectionsTest, GetOlderMeanwhile) {
  ASSERT_TRUE(SaveConnections(path_, {Connection("10.0.0.1", 900), Connection("10.0.0.2", 60)}).ok());
  std::string text = Text();
  const size_t at = text.find(' ') + 1;
  const long long saved_at = std::stoll(text.substr(at));
  text.replace(at, std::to_string(saved_at).size(), std::to_string(saved_at - 300));
  Write(text);
  const auto taken = TakeSavedConnections(path_);
  ASSERT_EQ(taken->size(), 1u) << "the other has expired";
  EXPECT_EQ(taken->at(0).flow.source.ToString(), "10.0.0.1");
  EXPECT_NEAR(taken->at(0).expires_seconds, 600, 30);
}

TEST_F(SavedConnectionsTest, WhatIsNotWholeIsNotTakenNorLeft) {
  ASSERT_TRUE(SaveConnections(path_, {Connection("10.0.0.1", 900), Connection("10.0.0.2", 60)}).ok());
  const std::string text = Text();
  for (const std::string& damaged : {text.substr(0, text.size() - 20), std::string("sluice-connections-1"),
                                     "sluice-connections-2" + text.substr(20), std::string("\0\xff", 2)}) {
    Write(damaged);
    EXPECT_FALSE(TakeSavedConnections(path_).ok()) << damaged;
    EXPECT_NE(access(path_.c_str(), F_OK), 0);
  }
}

}  // namespace
}  // namespace sluice
