// The defences against overload, as far as they are a matter of lot or of memory.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/defence.h"

#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class DefenceTest : public testing::Test {
 protected:
  void Serve(const Settings& settings) {
    rig_.SetGlobal({.settings = settings});
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 80)});
  }
  std::string Send(int client, uint8_t flags) {
    return rig_
        .Send(Packet()
                  .From("10.0." + std::to_string(client / 250) + "." + std::to_string(1 + client % 250), 1000)
                  .To("10.99.0.1", 80)
                  .Tcp(flags))
        .where;
  }

  PipelineRig rig_{{.connection_capacity = 2000}};
};

TEST_F(DefenceTest, DropEntryTakesHalfOpenConnections) {
  Serve({.drop_entry = 3});
  for (int client = 0; client < 2000; ++client) Send(client, kTcpSyn);
  for (int client = 0; client < 1000; ++client) Send(client, kTcpAck);
  rig_.Advance(10);
  const uint64_t dropped = rig_.Count(Counter::kConnectionsDropped);
  // Ten times about a 32nd of those there are.
  EXPECT_GT(dropped, 200u);
  EXPECT_LT(dropped, 400u);
  for (int client = 0; client < 1000; ++client) ASSERT_EQ(Send(client, kTcpAck), "wire 1") << "established";
}

TEST_F(DefenceTest, DropEntryTakesIdleConnectionsOfFewPackets) {
  Serve({.drop_entry = 3});
  for (int client = 0; client < 1000; ++client) {
    Send(client, kTcpSyn);
    Send(client, kTcpAck);
    for (int i = 0; client >= 500 && i < 10; ++i) Send(client, kTcpAck);
  }
  rig_.Advance(55);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsDropped), 0u) << "a minute of idleness is allowed";
  rig_.Advance(200);
  EXPECT_GT(rig_.Count(Counter::kConnectionsDropped), 300u);
  for (int client = 500; client < 1000; ++client)
    ASSERT_EQ(Send(client, kTcpAck), "wire 1") << "more than eight";
}

TEST_F(DefenceTest, AutomaticallyWhenTheTableIsNearlyFull) {
  Serve({.amemthresh = 500, .drop_packet = 1});
  int opened = 0;
  for (int client = 0; client < 1500; ++client) opened += Send(client, kTcpSyn) == "wire 1";
  EXPECT_EQ(opened, 1500);
  rig_.Advance(2);
  int dropped = 0;
  for (int client = 1500; client < 1900; ++client) dropped += Send(client, kTcpSyn) == "dropped";
  EXPECT_EQ(dropped, 0) << "there are exactly as many free as the threshold says";
  rig_.Advance(2);  // 100 are free: rate 500 / (500 - 100)
  dropped = 0;
  for (int client = 1900; client < 1950; ++client) dropped += Send(client, kTcpSyn) == "dropped";
  EXPECT_EQ(dropped, 50) << "with a rate of 1 everybody";
  EXPECT_EQ(rig_.Count(Counter::kDropDefence), 50u);
}

TEST(DefenceRateTest, OneInSoMany) {
  Defence defence(0);
  defence.Decide({.am_droprate = 3, .drop_packet = 3}, 1'000'000);
  std::string drops;
  for (int i = 0; i < 9; ++i) drops += defence.DropsThisPacket() ? 'x' : '.';
  EXPECT_EQ(drops, "x..x..x..");
}

TEST(DefenceRateTest, TheShorterMemoryTheMoreIsDropped) {
  const auto dropped_of_100 = [](uint32_t free) {
    Defence defence(0);
    defence.Decide({.drop_packet = 1}, free);
    int dropped = 0;
    for (int i = 0; i < 100; ++i) dropped += defence.DropsThisPacket();
    return dropped;
  };
  EXPECT_EQ(dropped_of_100(1024), 0);
  EXPECT_EQ(dropped_of_100(1023), 0) << "one in 1024";
  EXPECT_EQ(dropped_of_100(1014), 0) << "one in 102";
  EXPECT_EQ(dropped_of_100(922), 10) << "one in 10";
  EXPECT_EQ(dropped_of_100(512), 50) << "one in 2";
  EXPECT_EQ(dropped_of_100(0), 100);
}

}  // namespace
}  // namespace sluice
