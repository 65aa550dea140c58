// Where packets leave: neighbours, routes and links change under living connections.
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class NextHopTest : public testing::Test {
 protected:
  NextHopTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 80)});
  }
  Outcome Send(uint8_t flags = kTcpAck) {
    return rig_.Send(
        Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Ttl(ttl_).Tcp(flags).Payload(payload_));
  }

  PipelineRig rig_;
  ForwardingSpec spec_ = PipelineRig::DefaultForwarding();
  const IpAddress server_ = *IpAddress::Parse("10.1.0.1");
  std::string payload_;
  uint8_t ttl_ = 64;
};

TEST_F(NextHopTest, ANewMacAddressIsUsedAtOnce) {
  EXPECT_EQ(Send(kTcpSyn).frame[5], 1);
  spec_.neighbours[{2, server_}] = MacAddress{{2, 2, 2, 2, 2, 0x77}};
  rig_.SetForwarding(spec_);
  EXPECT_EQ(Send().frame[5], 0x77);
}

TEST_F(NextHopTest, AnUnknownNeighbourIsTheKernelsRewritten) {
  spec_.neighbours.erase({2, server_});
  rig_.SetForwarding(spec_);
  const Outcome outcome = Send(kTcpSyn);
  EXPECT_EQ(outcome.where, "kernel output");
  EXPECT_EQ(Describe(outcome.frame), "10.0.0.1:1000 > 10.1.0.1:80 tcp 02 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(outcome.frame), "");
  EXPECT_EQ(rig_.Count(Counter::kKernelForwards), 1u);
  rig_.SetForwarding(PipelineRig::DefaultForwarding());
  EXPECT_EQ(Send().where, "wire 1");
}

TEST_F(NextHopTest, ARouteMoves) {
  EXPECT_EQ(Send(kTcpSyn).where, "wire 1");
  spec_.routes.push_back({.prefix = server_,
                          .prefix_length = 32,
                          .legs = {{.interface = 1, .gateway = *IpAddress::Parse("10.0.0.254")}}});
  rig_.SetForwarding(spec_);
  EXPECT_EQ(Send().where, "wire 0");
  rig_.SetForwarding(PipelineRig::DefaultForwarding());
  EXPECT_EQ(Send().where, "wire 1");
}

TEST_F(NextHopTest, ALinkGoesDown) {
  EXPECT_EQ(Send(kTcpSyn).where, "wire 1");
  spec_.links[2].up = false;
  rig_.SetForwarding(spec_);
  EXPECT_EQ(Send().where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropNoRoute), 1u);
  spec_.links[2].up = true;
  rig_.SetForwarding(spec_);
  EXPECT_EQ(Send().where, "wire 1");
}

TEST_F(NextHopTest, ARealServerThatIsThisHostIsTheKernels) {
  spec_.routes.push_back({.prefix = server_, .prefix_length = 32, .kind = RouteKind::kLocal});
  rig_.SetForwarding(spec_);
  const FrameBytes syn = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn).Bytes();
  const Outcome outcome = rig_.Send(std::vector<FrameBytes>{syn}).front();
  EXPECT_EQ(outcome.where, "kernel input");
  EXPECT_EQ(outcome.frame, syn) << "as it came";
  EXPECT_EQ(rig_.Count(Counter::kKernelLocal), 1u);
}

TEST_F(NextHopTest, AnAnswerThatHasNoWayIsCounted) {
  spec_.links[1].up = false;  // the client's
  rig_.SetForwarding(spec_);
  ttl_ = 1;
  EXPECT_EQ(Send(kTcpSyn).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kAnswerNoRoute), 1u);
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 0u);
}

TEST_F(NextHopTest, WhatTheLinkCannotCarryIsSplit) {
  EXPECT_EQ(Send(kTcpSyn).where, "wire 1");
  spec_.links[2].mtu = 100;
  rig_.SetForwarding(spec_);
  payload_ = std::string(60, 'x');
  EXPECT_EQ(Send().where, "wire 1") << "exactly 100";
  payload_ += 'x';
  EXPECT_EQ(Send().where, "dropped") << "the packet itself; its pieces go";
  EXPECT_EQ(rig_.pieces().size(), 2u);
  EXPECT_EQ(rig_.Count(Counter::kSplit), 1u);
  EXPECT_EQ(rig_.Count(Counter::kDropExceedsMtu), 0u);
}

}  // namespace
}  // namespace sluice
