// ICMP errors, made and relayed, where a scenario beside a kernel does not show it: limits, and what must not
// be answered.
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class IcmpTest : public testing::Test {
 protected:
  IcmpTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig_.AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {});
    rig_.Send(FromClient(kTcpSyn));
  }
  static Packet FromClient(uint8_t flags) {
    return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(flags);
  }
  static Packet ErrorAbout(const Packet& about) {
    return Packet().From("10.0.9.9", 0).To("10.99.0.1", 0).IcmpErrorAbout(11, 0, 0, about.Bytes(), 28);
  }
  static Packet ToClient() { return Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck); }

  PipelineRig rig_;
};

TEST_F(IcmpTest, AnErrorIsRewrittenInsideAndOutside) {
  const Outcome outcome = rig_.Send(ErrorAbout(ToClient()));
  EXPECT_EQ(outcome.where, "wire 1");
  EXPECT_EQ(Describe(outcome.frame),
            "10.0.9.9 > 10.1.0.1 icmp 11/0 mtu 0 tos 00 ttl 63 len 56 [10.1.0.1:8080 > 10.0.0.1:1000 tcp 00 "
            "ttl 64 len 40]");
}

TEST_F(IcmpTest, AnErrorIsNeverAnsweredByAnError) {
  EXPECT_EQ(rig_.Send(ErrorAbout(ToClient()).Ttl(1)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropTtlExpired), 1u);
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 0u);
}

TEST_F(IcmpTest, NorIsALaterFragment) {
  rig_.Send(FromClient(kTcpAck).Fragment(0, true));
  EXPECT_EQ(rig_.Send(FromClient(kTcpAck).Fragment(3, false).Ttl(1)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 0u);
}

TEST_F(IcmpTest, OnlySoManyASecond) {
  const Packet to_nobody = Packet().From("10.0.0.1", 1000).To("10.99.0.2", 80).Tcp(kTcpSyn);
  for (int i = 0; i < 200; ++i) rig_.Send(to_nobody);
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 50u) << "a burst";
  EXPECT_EQ(rig_.Count(Counter::kIcmpLimited), 150u);
  EXPECT_EQ(rig_.Count(Counter::kRefusedNoDestination), 200u);
  int sent = 0;
  for (int i = 0; i < 250; ++i) {
    rig_.Advance(1.0 / kJiffiesPerSecond);
    for (int j = 0; j < 10; ++j) sent += rig_.Send(to_nobody).where == "wire 0";
  }
  EXPECT_NEAR(sent, 1000, 60);
}

TEST_F(IcmpTest, AnErrorAboutNothingWeKnowIsTheKernels) {
  EXPECT_EQ(rig_.Send(ErrorAbout(Packet().From("10.99.0.1", 80).To("10.0.0.1", 1001).Tcp(kTcpAck))).where,
            "kernel input");
  EXPECT_EQ(rig_.Count(Counter::kKernelIcmp), 1u);
}

TEST_F(IcmpTest, ItDoesNotTouchTheConnection) {
  const uint32_t before = rig_.worker->connections.ByIndex(1).deadline;
  rig_.Advance(3);
  rig_.Send(ErrorAbout(ToClient()));
  EXPECT_EQ(rig_.worker->connections.ByIndex(1).deadline, before);
  EXPECT_EQ(rig_.worker->connections.ByIndex(1).state, kTcpSynRecv);
}

}  // namespace
}  // namespace sluice
