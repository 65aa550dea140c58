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
        const Outcome sent = rig_.Send(FromClient(service, 1380));
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

// An error that quotes what we did not send, or was not sent to us, lowers nobody's path MTU.
TEST_F(TunnelErrorTest, AForgedErrorTeachesNothing) {
  for (const TunnelSpec& tunnel :
       {TunnelSpec{TunnelType::kIpip}, {TunnelType::kGre}, {TunnelType::kGue, false, Be16::FromHost(6080)}}) {
    SCOPED_TRACE(static_cast<int>(tunnel.type));
    Serve("10.99.0.1", "10.1.0.1", tunnel);
    const FrameBytes sent = rig_.Send(FromClient("10.99.0.1", 1300)).frame;
    const auto with = [&](size_t at, std::initializer_list<uint8_t> bytes) {
      FrameBytes frame = sent;
      std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<ptrdiff_t>(at));
      return frame;
    };
    constexpr size_t kSource = 14 + 12, kDestination = 14 + 16, kProtocol = 14 + 9, kUdp = 14 + 20;
    EXPECT_EQ(SayAbout(with(kSource, {10, 1, 0, 253}), 3, 4, 600).where, "kernel input");
    EXPECT_EQ(SayAbout(with(kDestination, {10, 1, 0, 2}), 3, 4, 600).where, "kernel input");
    if (tunnel.type != TunnelType::kGue) {
      EXPECT_EQ(SayAbout(with(kProtocol, {41}), 3, 4, 600).where, "kernel input");
    } else {
      const auto other = static_cast<uint8_t>(sent[kUdp + 1] ^ 1);
      EXPECT_EQ(SayAbout(with(kUdp + 1, {other}), 3, 4, 600).where, "kernel input")
          << "nobody knows our port";
    }
    Packet error = Packet().From("10.1.0.9", 0).To("10.1.0.254", 0).IcmpErrorAbout(3, 4, 600, sent);
    EXPECT_EQ(rig_.Send(Packet(error).To("10.1.0.1", 0), 1).where, "kernel input") << "to another than us";
    EXPECT_EQ(rig_.Send(Packet(error).BreakTransportChecksum(), 1).where, "dropped");
    EXPECT_EQ(SayAbout(sent, 3, 4, 1400).where, "dropped") << "it is shorter than that";
    EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 1300)).where, "wire 1") << "nobody has lost anything";
    EXPECT_EQ(SayAbout(sent, 3, 4, 600).where, "wire 0") << "the true one is heard";
    EXPECT_EQ(rig_.Send(FromClient("10.99.0.1", 1300)).where, "wire 0");
    rig_.Advance(601);
  }
}

TEST_F(TunnelErrorTest, AnMtuBeyondSixteenBitsIsNoMtu) {
  Serve("fd00:99::1", "fd00:b::1", {});
  const FrameBytes sent = rig_.Send(FromClient("fd00:99::1", 1300)).frame;
  FrameBytes error =
      Packet().From("fd00:b::9", 0).To("fd00:b::fe", 0).IcmpErrorAbout(2, 0, 1280, sent).Bytes();
  constexpr size_t kIcmp = 14 + 40;
  error[kIcmp + 5] = 1;  // 65536 more
  const uint32_t checksum = static_cast<uint32_t>(error[kIcmp + 2] << 8 | error[kIcmp + 3]) + 0xfffe;
  error[kIcmp + 2] = static_cast<uint8_t>(checksum >> 8);
  error[kIcmp + 3] = static_cast<uint8_t>(checksum + (checksum >> 16));
  rig_.Send({error}, 1);
  EXPECT_EQ(rig_.Send(FromClient("fd00:99::1", 1300)).where, "wire 1");
}

// A path MTU learnt half a year ago is not new again because the clock has come round.
TEST_F(TunnelErrorTest, WhatIsForgottenIsClearedBeforeTheClockComesRound) {
  Serve("10.99.0.1", "10.1.0.1", {});
  const DestinationId id = rig_.snapshot->services.All()[0]->candidates[0].id;
  const Jiffies learnt_at = rig_.worker->now;
  rig_.destinations.LearnPathMtu(id, 600, learnt_at);
  EXPECT_EQ(rig_.destinations.PathMtu(id, learnt_at), 600);
  rig_.Advance(602);
  EXPECT_EQ(rig_.destinations.PathMtu(id, learnt_at), 65535) << "as it would be read after 198 days";
}

// Short frames are padded; what a tunnel carries is the packet.
TEST_F(TunnelErrorTest, ThePaddingOfAFrameStaysOutside) {
  for (const TunnelSpec& tunnel : {TunnelSpec{TunnelType::kIpip},
                                   {TunnelType::kGre, true},
                                   {TunnelType::kGue, true, Be16::FromHost(6080)}}) {
    SCOPED_TRACE(static_cast<int>(tunnel.type));
    Serve("10.99.0.1", "10.1.0.1", tunnel);
    FrameBytes frame = FromClient("10.99.0.1", 0).Bytes();
    frame.resize(60, 0xee);
    for (int i = 0; i < 2; ++i) {  // by either way through the pipeline
      const Outcome out = rig_.Send({frame}).front();
      ASSERT_EQ(out.where, "wire 1");
      const size_t length = out.frame[16] << 8 | out.frame[17];
      EXPECT_EQ(out.frame.size(), 14 + length);
      EXPECT_EQ(ChecksumFaults(out.frame), "");
    }
  }
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

// A relayed error would quote no ports, and its receiver could not tell whose it is.
TEST_F(TunnelErrorTest, AnInnerPacketThatEndsBeforeItsPortsIsTheKernels) {
  constexpr size_t kEthernet = 14;
  Serve("10.99.0.1", "10.1.0.1", {});
  FrameBytes sent = rig_.Send(FromClient("10.99.0.1", 10)).frame;
  sent[kEthernet + 20 + 3] = 23;  // total length
  EXPECT_EQ(SayAbout(sent, 3, 1, 0).where, "kernel input");
  sent[kEthernet + 20 + 3] = 24;
  EXPECT_EQ(SayAbout(sent, 3, 1, 0).where, "wire 0") << "with the ports";

  Serve("fd00:99::1", "fd00:b::1", {});
  FrameBytes sent_v6 = rig_.Send(FromClient("fd00:99::1", 10)).frame;
  sent_v6[kEthernet + 40 + 5] = 3;  // payload length
  EXPECT_EQ(SayAbout(sent_v6, 1, 0, 0).where, "kernel input");
  sent_v6[kEthernet + 40 + 5] = 4;
  EXPECT_EQ(SayAbout(sent_v6, 1, 0, 0).where, "wire 0") << "with the ports";
}

}  // namespace
}  // namespace sluice
