// The short way that almost every packet takes does what the thorough way does.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "dataplane/pipeline/parse_ip.h"
#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

rte_mbuf* Received(const FrameBytes& frame) {
  rte_mbuf* packet = rte_pktmbuf_alloc(PacketPoolForTest());
  packet->port = 0;
  std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
  return packet;
}

FrameBytes BytesOf(const rte_mbuf& packet) {
  const auto* bytes = rte_pktmbuf_mtod(&packet, const uint8_t*);
  return {bytes, bytes + packet.data_len};
}

struct Way {
  const char* client;
  const char* service;
  const char* server;
  ForwardingMethod method;
  TunnelType tunnel = TunnelType::kIpip;
};
constexpr Way kWays[] = {
    {"10.0.0.1", "10.99.0.1", "10.1.0.1", ForwardingMethod::kNat},
    {"10.0.0.1", "10.99.0.2", "10.1.0.1", ForwardingMethod::kDirect},
    {"fd00:a::1", "fd99::1", "fd00:b::1", ForwardingMethod::kNat},
    {"fd00:a::1", "fd99::2", "fd00:b::1", ForwardingMethod::kDirect},
    {"10.0.0.1", "10.99.0.3", "10.1.0.1", ForwardingMethod::kTunnel},
    {"10.0.0.1", "10.99.0.4", "fd00:b::1", ForwardingMethod::kTunnel},
    {"10.0.0.1", "10.99.0.5", "10.1.0.1", ForwardingMethod::kTunnel, TunnelType::kGre},
    {"10.0.0.1", "10.99.0.6", "10.1.0.1", ForwardingMethod::kTunnel, TunnelType::kGue},
    {"fd00:a::1", "fd99::3", "fd00:b::1", ForwardingMethod::kTunnel},
    {"fd00:a::1", "fd99::4", "10.1.0.1", ForwardingMethod::kTunnel},
    {"fd00:a::1", "fd99::5", "fd00:b::1", ForwardingMethod::kTunnel, TunnelType::kGue},
    {"fd00:a::1", "fd99::6", "fd00:b::1", ForwardingMethod::kTunnel, TunnelType::kGre},
};

// Packets of clients and of real servers, good ones and such that are nearly so.
class Frames {
 public:
  FrameBytes Next() {
    const auto port = static_cast<uint16_t>(1000 + random_() % 3);
    Packet packet;
    const Way& way = kWays[random_() % std::size(kWays)];
    switch (random_() % 3) {
      case 0: packet.From(way.client, port).To(way.service, 80); break;
      case 1: packet.From(way.server, 8080).To(way.client, port); break;
      default: packet.From(way.service, 80).To(way.client, port); break;  // of direct routing
    }
    if (random_() % 2 == 0) {
      packet.Tcp(static_cast<uint8_t>(random_() % 8 == 0 ? random_() : kTcpAck));
    } else {
      packet.Udp();
      if (random_() % 4 == 0) packet.ZeroUdpChecksum();
    }
    packet.Payload(std::string(random_() % 40, 'x'));
    if (random_() % 4 == 0) packet.Ttl(static_cast<uint8_t>(random_() % 3));
    if (random_() % 16 == 0) packet.Vlan(8);
    const bool is_v6 = std::string(way.client).find(':') != std::string::npos;
    if (random_() % 2 == 0) packet.TypeOfService(static_cast<uint8_t>(random_()));
    if (random_() % 2 == 0 && !is_v6) packet.DontFragment();
    if (random_() % 16 == 0 && !is_v6) packet.Fragment(0, true);
    if (random_() % 16 == 0 && !is_v6) packet.IpOptions(FrameBytes(4, 1));
    FrameBytes frame = packet.Bytes();
    if (random_() % 3 == 0) frame[random_() % frame.size()] = static_cast<uint8_t>(random_());
    if (random_() % 16 == 0) frame.resize(random_() % frame.size() + 1);
    if (random_() % 16 == 0) frame.resize(frame.size() + random_() % 8);
    return frame;
  }

 private:
  std::mt19937 random_{7};
};

bool IsLaterFragment(const FrameBytes& frame) {
  return frame.size() > 22 && frame[12] == 0x08 && ((frame[20] & 0x1f) != 0 || frame[21] != 0);
}

void SetUpServices(PipelineRig& rig) {
  rig.worker->connections.PrepareForIpv6();
  ForwardingSpec forwarding = PipelineRig::DefaultForwarding();
  for (RouteSpec& route : forwarding.routes) {
    if (route.legs.front().interface == 2)  // of tunnels
      route.source = *IpAddress::Parse(route.prefix.IsV4() ? "10.1.0.254" : "fd00:b::fe");
  }
  rig.SetForwarding(forwarding);
  for (const Way& way : kWays) {
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
      ServiceSpec spec{.key = {*IpAddress::Parse(way.service), Be16::FromHost(80), protocol}};
      spec.destinations.push_back({.address = *IpAddress::Parse(way.server),
                                   .port = Be16::FromHost(way.method == ForwardingMethod::kNat ? 8080 : 80),
                                   .method = way.method,
                                   .tunnel = {.type = way.tunnel, .port = Be16::FromHost(6080)}});
      rig.AddService(spec);
    }
    for (uint16_t port = 1000; port < 1003; ++port) {
      for (const uint8_t flags : {kTcpSyn, kTcpAck})
        ASSERT_EQ(rig.Send(Packet().From(way.client, port).To(way.service, 80).Tcp(flags)).where, "wire 1");
      ASSERT_EQ(rig.Send(Packet().From(way.client, port).To(way.service, 80).Udp()).where, "wire 1");
    }
  }
}

TEST(PlainTest, ParsesLikeTheThoroughWay) {
  PipelineRig rig;
  Frames frames;
  int plain = 0;
  for (int i = 0; i < 200'000; ++i) {
    rte_mbuf* packet = Received(frames.Next());
    Batch batch{};
    Batch thorough{};
    batch.packet[0] = thorough.packet[0] = packet;
    if (ParsePlain(*rig.worker, batch, 0)) {
      ++plain;
      ASSERT_TRUE(ParseThoroughly(*rig.worker, thorough, 0));
      ASSERT_EQ(batch.kind[0], PacketKind::kFlow);
      ASSERT_EQ(thorough.kind[0], PacketKind::kFlow);
      ASSERT_EQ(batch.tuple[0], thorough.tuple[0]);
      ASSERT_EQ(batch.ip[0], thorough.ip[0]);
      ASSERT_EQ(batch.ip_length[0], thorough.ip_length[0]);
      ASSERT_EQ(batch.transport_at[0], thorough.transport_at[0]);
      ASSERT_EQ(batch.signal[0], thorough.signal[0]);
      ASSERT_EQ(batch.opening, thorough.opening);
      ASSERT_EQ(thorough.first_fragments, 0u);
    }
    rte_pktmbuf_free(packet);
  }
  EXPECT_GT(plain, 50'000);
}

TEST(PlainTest, RewritesLikeTheThoroughWay) {
  PipelineRig rig;
  SetUpServices(rig);
  Worker& worker = *rig.worker;
  Frames frames;
  int rewritten = 0;
  int encapsulated = 0;
  int v6 = 0;
  for (int i = 0; i < 200'000; ++i) {
    const FrameBytes frame = frames.Next();
    if (IsLaterFragment(frame)) continue;  // it might be held
    rte_mbuf* packets[2] = {Received(frame), Received(frame)};
    Batch batches[2] = {};
    bool live = true;
    const uint16_t identification = worker.identification;
    if (i % 1024 == 0) rig.SetGlobal({.settings = {.pmtu_disc = i % 2048 == 0}});
    for (int way = 0; way < 2; ++way) {
      Batch& batch = batches[way];
      batch.packet[0] = packets[way];
      batch.count = 1;
      const LaneMask ours = Classify(worker, batch, Parse(worker, batch, batch.all()));
      live = live && batch.plain != 0 && Lookup(worker, batch, ours) == 0;
      if (!live) break;
      if (way == 1) batch.plain = batch.plain_v6 = 0;
      worker.identification = identification;
      Rewrite(worker, batch, batch.all());
    }
    if (live) {
      rewritten += batches[0].verdict[0] == Verdict::kWire;
      v6 += batches[0].plain_v6 != 0;
      encapsulated += packets[0]->pkt_len > frame.size() && batches[0].plain != 0;
      ASSERT_EQ(batches[0].verdict[0], batches[1].verdict[0]);
      ASSERT_EQ(BytesOf(*packets[0]), BytesOf(*packets[1])) << "packet " << i;
      if (batches[0].verdict[0] == Verdict::kWire) {
        ASSERT_EQ(batches[0].hop[0], batches[1].hop[0]);
      }
    }
    rte_pktmbuf_free_bulk(packets, 2);
  }
  EXPECT_GT(rewritten, 30'000);
  EXPECT_GT(v6, 15'000);
  EXPECT_GT(encapsulated, 10'000);
}

TEST(PlainTest, AnEditedTunnelIsUsedAtOnce) {
  PipelineRig rig;
  SetUpServices(rig);
  const auto edit = [&](const TunnelSpec& tunnel) {
    ServiceSpec spec{.key = {*IpAddress::Parse("10.99.0.5"), Be16::FromHost(80), Protocol::kUdp}};
    spec.destinations.push_back({.address = *IpAddress::Parse("10.1.0.1"),
                                 .port = Be16::FromHost(80),
                                 .method = ForwardingMethod::kTunnel,
                                 .tunnel = tunnel});
    rig.AddService(spec);
  };
  const auto length = [&] {
    return rig.Send(Packet().From("10.0.0.1", 1000).To("10.99.0.5", 80).Udp().Payload("x")).frame.size();
  };
  const size_t with_gre = length();
  EXPECT_EQ(length(), with_gre);
  edit({.type = TunnelType::kGre, .checksum = true});
  EXPECT_EQ(length(), with_gre + 4);
  EXPECT_EQ(length(), with_gre + 4);
  edit({.type = TunnelType::kIpip});
  EXPECT_EQ(length(), with_gre - 4);
  edit({.type = TunnelType::kGre});
  EXPECT_EQ(length(), with_gre);
}

}  // namespace
}  // namespace sluice
