// Persistence beyond what scenarios beside a kernel show: strictness, limits, expiry under load.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class PersistenceTest : public testing::Test {
 protected:
  void Serve(const PersistenceSpec& persistence) {
    rig_.AddService(
        {.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
         .scheduler = "rr",
         .destinations = {PipelineRig::Server("10.1.0.1", 80), PipelineRig::Server("10.1.0.2", 80)},
         .persistence = persistence});
  }
  int Send(const std::string& client, uint16_t port, uint8_t flags) {
    const Outcome outcome = rig_.Send(Packet().From(client, port).To("10.99.0.1", 80).Tcp(flags));
    return outcome.frame.empty() ? 0 : outcome.frame[33];
  }
  // Opened and closed by both sides: it is in TIME_WAIT for two minutes.
  void OpenAndClose(const std::string& client, uint16_t port) {
    const int server = Send(client, port, kTcpSyn);
    Send(client, port, kTcpAck);
    Send(client, port, kTcpFin | kTcpAck);
    rig_.Send(Packet().From("10.1.0." + std::to_string(server), 80).To(client, port).Tcp(kTcpFin | kTcpAck),
              1);
  }

  PipelineRig rig_{{.template_capacity = 160}};
};

TEST_F(PersistenceTest, TimeWaitHoldsATemplate) {
  Serve({.timeout_seconds = 5});
  OpenAndClose("10.0.0.1", 1000);
  rig_.Advance(60);
  EXPECT_EQ(rig_.persistence->size(), 1u);
  rig_.Advance(130);
  EXPECT_EQ(rig_.persistence->size(), 0u);
}

TEST_F(PersistenceTest, StrictlyItDoesNot) {
  Serve({.timeout_seconds = 5, .strict = true});
  OpenAndClose("10.0.0.1", 1000);
  rig_.Advance(4);
  EXPECT_EQ(rig_.persistence->size(), 1u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.persistence->size(), 0u) << "the connection in TIME_WAIT does not count";
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
}

TEST_F(PersistenceTest, StrictlyALivingConnectionStillHoldsIt) {
  Serve({.timeout_seconds = 5, .strict = true});
  Send("10.0.0.1", 1000, kTcpSyn);
  Send("10.0.0.1", 1000, kTcpAck);
  rig_.Advance(100);
  EXPECT_EQ(rig_.persistence->size(), 1u);
}

// A trickle of spoofed SYNs keeps no client out.
TEST_F(PersistenceTest, TemplatesThatNoConnectionAssuredAreEvicted) {
  Serve({.timeout_seconds = 1000});
  const int first = Send("10.0.2.1", 1000, kTcpSyn);
  ASSERT_NE(first, 0);
  Send("10.0.2.1", 1000, kTcpAck);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_NE(Send("10.0." + std::to_string(3 + i / 250) + "." + std::to_string(1 + i % 250), 1000, kTcpSyn),
              0);
    if (i % 100 == 0) rig_.Advance(10);
  }
  EXPECT_EQ(rig_.Count(Counter::kRefusedTemplatesFull), 0u);
  EXPECT_GT(rig_.Count(Counter::kTemplatesEvictedUnassured), 1000u);
  for (uint16_t port = 2000; port < 2004; ++port)
    EXPECT_EQ(Send("10.0.2.1", port, kTcpSyn), first) << "it has stayed with its server";
}

TEST_F(PersistenceTest, AFullTableOfTemplatesRefusesUnderAName) {
  Serve({.timeout_seconds = 100});
  for (int i = 0; i < 250; ++i) {
    Send("10.0.1." + std::to_string(i), 1000, kTcpSyn);
    Send("10.0.1." + std::to_string(i), 1000, kTcpAck);
  }
  const uint64_t refused = rig_.Count(Counter::kRefusedTemplatesFull);
  EXPECT_GT(refused, 50u);
  EXPECT_EQ(rig_.worker->connections.size(), 250 - refused);
  EXPECT_EQ(rig_.persistence->size(), 250 - refused);
}

TEST_F(PersistenceTest, ARefusedConnectionLeavesItsTemplateUnheld) {
  PipelineRig full({.connection_capacity = 1});
  full.AddService({.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
                   .scheduler = "rr",
                   .destinations = {PipelineRig::Server("10.1.0.1", 80)},
                   .persistence = {.timeout_seconds = 5}});
  const auto send = [&](uint16_t port, uint8_t flags) {
    return full.Send(Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(flags)).where;
  };
  ASSERT_EQ(send(1000, kTcpSyn), "wire 1");
  full.Send(Packet().From("10.1.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpSyn | kTcpAck), 1);
  ASSERT_EQ(send(1000, kTcpAck), "wire 1");
  ASSERT_EQ(send(1001, kTcpSyn), "dropped");
  uint32_t children = 0;
  full.persistence->ForEach([&](const Template& each) { children += each.children; });
  EXPECT_EQ(children, 1u);
}

TEST_F(PersistenceTest, AnyPortMeansTheTemplatesServerOnThePacketsPort) {
  rig_.AddService({.key = {{*IpAddress::Parse("10.99.0.2"), Be16{}, Protocol::kUdp}},
                   .scheduler = "rr",
                   .destinations = {PipelineRig::Server("10.1.0.1", 0)},
                   .persistence = {.timeout_seconds = 5}});
  const Outcome outcome = rig_.Send(Packet().From("10.0.0.1", 1000).To("10.99.0.2", 777).Udp());
  EXPECT_EQ(Describe(outcome.frame), "10.0.0.1:1000 > 10.1.0.1:777 udp ttl 63 len 28");
}

}  // namespace
}  // namespace sluice
