// ICMP errors about packets that were put into tunnels, for every tunnel and family.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class TunnelErrorTest : public testing::Test {
 protected:
  void Serve(const std::string& service, const std::string& server, const TunnelSpec& tunnel) {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    for (RouteSpec& route : spec.routes) {
      if (route.legs.front().interface == 2)
        route.source = *IpAddress::Parse(route.prefix.IsV4() ? "10.1.0.254" : "fd00:b::fe");
    }
    rig_.SetForwarding(spec);
    DestinationSpec destination = PipelineRig::Server(server, 80);
    destination.method = ForwardingMethod::kTunnel;
    destination.tunnel = tunnel;
    rig_.AddService(service, 80, Protocol::kTcp, "rr", {destination});
  }
  static Packet FromClient(const std::string& service, size_t payload) {
    const bool is_v6 = service.find(':') != std::string::npos;
    return Packet()
        .From(is_v6 ? "fd00:a::1" : "10.0.0.1", 1000)
        .To(service, 80)
        .Tcp(kTcpSyn)
        .Payload(std::string(payload, 'x'))
        .DontFragment();
  }
  // What a router says about a frame that left towards the servers; so many bytes of it are quoted.
  Outcome SayAbout(const FrameBytes& frame, uint8_t type, uint8_t code, uint16_t mtu, size_t quoted = 0) {
    const bool is_v6 = frame[14] >> 4 == 6;
    return rig_.Send(Packet()
                         .From(is_v6 ? "fd00:b::9" : "10.1.0.9", 0)
                         .To(is_v6 ? "fd00:b::fe" : "10.1.0.254", 0)
                         .IcmpErrorAbout(type, code, mtu, frame, quoted),
                     1);
  }

  PipelineRig rig_;
  int hours_ = 0;
};

TEST_F(TunnelErrorTest, EveryTunnelInEveryFamily) {
  const TunnelSpec tunnels[] = {{TunnelType::kIpip},
                                {TunnelType::kGre},
                                {TunnelType::kGre, true},
                                {TunnelType::kGue, false, Be16::FromHost(6080)},
                                {TunnelType::kGue, true, Be16::FromHost(6080)}};
  const uint16_t overheads[] = {0, 4, 8, 12, 12};
  for (const char* service : {"10.99.0.1", "fd00:99::1"}) {
    for (const char* server : {"10.1.0.1", "fd00:b::1"}) {
      for (size_t i = 0; i < std::size(tunnels); ++i) {
        SCOPED_TRACE(std::string(service) + " " + server + " " + std::to_string(i));
        const bool inner_is_v6 = *service == 'f';
        const bool outer_is_v6 = *server == 'f';
        rig_.DeleteService(service, 80, Protocol::kTcp);
        rig_.Advance(2000);
        rig_.snapshots.EmptyTrash(SnapshotBuilder::Clock::time_point{} + std::chrono::hours(++hours_));
        rig_.snapshots.EmptyTrash(SnapshotBuilder::Clock::time_point{} + std::chrono::hours(++hours_));
        Serve(service, server, tunnels[i]);
        const Outcome sent = rig_.Send(FromClient(service, 1300));
        ASSERT_EQ(sent.where, "wire 1");
        const uint16_t mtu = 1400;
        const Outcome told = SayAbout(sent.frame, outer_is_v6 ? 2 : 3, outer_is_v6 ? 0 : 4, mtu);
        EXPECT_EQ(told.where, "wire 0");
        const int room = mtu - (outer_is_v6 ? 40 : 20) - overheads[i];
        const std::string text = Describe(told.frame);
        const std::string error = inner_is_v6 ? "icmp6 2/0 mtu " : "icmp 3/4 mtu ";
        EXPECT_NE(text.find(std::string(service) + " > "), std::string::npos) << text;
        EXPECT_NE(text.find(error + std::to_string(room) + " "), std::string::npos) << text;
        // From now on without asking: so much fits, and no more.
        const size_t headers = inner_is_v6 ? 60 : 40;
        EXPECT_EQ(rig_.Send(FromClient(service, static_cast<size_t>(room) - headers)).where, "wire 1");
        const Outcome refused = rig_.Send(FromClient(service, static_cast<size_t>(room) - headers + 1));
        EXPECT_NE(Describe(refused.frame).find(error + std::to_string(room) + " "), std::string::npos);
        // Another trouble.
        const Outcome unreachable = SayAbout(sent.frame, outer_is_v6 ? 1 : 3, outer_is_v6 ? 4 : 3, 0, 110);
        const char* expected = inner_is_v6 == outer_is_v6 ? (inner_is_v6 ? "icmp6 1/4" : "icmp 3/3")
                                                          : (inner_is_v6 ? "icmp6 1/3" : "icmp 3/1");
        EXPECT_NE(Describe(unreachable.frame).find(expected), std::string::npos)
            << Describe(unreachable.frame);
      }
    }
  }
}

TEST_F(TunnelErrorTest, WhatIsLearntIsForgotten) {
  Serve("10.99.0.1", "10.1.0.1", {});
  const Outcome sent = rig_.Send(FromClient("10.99.0.1", 1300));
  SayAbout(sent.frame, 3, 4, 1000);
  EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 1300)).where, "wire 0");
  rig_.Advance(599);
  EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 1300)).where, "wire 0");
  rig_.Advance(2);
  EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 1300)).where, "wire 1");
}

TEST_F(TunnelErrorTest, NobodyMakesAWayUseless) {
  Serve("10.99.0.1", "10.1.0.1", {});
  const Outcome sent = rig_.Send(FromClient("10.99.0.1", 1300));
  SayAbout(sent.frame, 3, 4, 68);
  EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 552 - 20 - 40)).where, "wire 1");
}

TEST_F(TunnelErrorTest, WhatIsNotAboutOursIsTheKernels) {
  Serve("10.99.0.1", "10.1.0.1", {});
  const FrameBytes inner = Packet().From("10.0.0.7", 7).To("10.99.0.1", 80).Tcp(kTcpAck).Bytes();
  const Packet unknown = Packet()
                             .From("10.1.0.254", 0)
                             .To("10.1.0.1", 0)
                             .IpProtocol(4)
                             .Payload({inner.begin() + 14, inner.end()});
  EXPECT_EQ(SayAbout(unknown.Bytes(), 3, 1, 0).where, "kernel input");
  const Outcome sent = rig_.Send(FromClient("10.99.0.1", 10));
  for (size_t quoted = 28; quoted < 44; ++quoted)
    EXPECT_EQ(SayAbout(sent.frame, 3, 1, 0, quoted).where, "kernel input") << quoted;
  EXPECT_EQ(SayAbout(sent.frame, 3, 1, 0, 44).where, "wire 0") << "with the ports";
}

}  // namespace
}  // namespace sluice
