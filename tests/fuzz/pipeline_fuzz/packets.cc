// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/packets.h"

#include <algorithm>

namespace sluice::fuzz {
namespace {

constexpr size_t kBuffer = 2048;  // of a packet's segment
constexpr size_t kLargestFrame = 9200;

bool IsOfServers(const Address& address) {
  return address.is_v6 ? address.bytes[3] == 0x0b || address.bytes[2] == 0x0b : address.bytes[1] == 1;
}

}  // namespace

FrameBytes PacketGrammar::Noise(size_t length) {
  FrameBytes bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(dice_.Throw());
  return bytes;
}

void PacketGrammar::Remember(const FrameBytes& sent) {
  remembered_.push_back(sent);
  if (remembered_.size() > kRemembered) remembered_.pop_front();
}

Names PacketGrammar::AnyNewNames() {
  const bool is_v6 = dice_.OneIn(2);
  Names names{.protocol = AnyProtocol(dice_)};
  const uint16_t port = dice_.Any<uint16_t>({20, 21, 53, 80, 80, 8080, 5000, 6080});
  const auto local_port = static_cast<uint16_t>(1024 + dice_.Below(20));
  switch (dice_.Below(6)) {
    case 0:
      names.source = AnyServer(dice_, is_v6), names.source_port = port;
      names.destination = AnyClient(dice_, is_v6), names.destination_port = AnyClientPort(dice_);
      break;
    case 1:
      names.source = AnyServer(dice_, is_v6), names.source_port = port;
      names.destination = AnyLocal(dice_, is_v6), names.destination_port = local_port;
      break;
    default:
      names.source = AnyClient(dice_, is_v6), names.source_port = AnyClientPort(dice_);
      names.destination = AnyVirtual(dice_, is_v6), names.destination_port = port;
  }
  if (dice_.OneIn(12)) names.source = AnyStrange(dice_, is_v6);
  if (dice_.OneIn(12)) names.destination = AnyStrange(dice_, is_v6);
  if (dice_.OneIn(30)) names.source_port = 20;
  return names;
}

Names PacketGrammar::AnyNames(const std::vector<Flow>& flows) {
  if (flows.empty() || dice_.OneIn(3)) return AnyNewNames();
  const Flow& flow = dice_.Any(flows);
  if (dice_.OneIn(2)) return flow.from_client;
  return flow.IsNat() ? flow.to_server.Reversed() : flow.from_client.Reversed();
}

void PacketGrammar::Fill(PacketMaker& packet) {
  packet.tcp_flags = dice_.Any<uint8_t>({0x02, 0x02, 0x12, 0x10, 0x10, 0x11, 0x04, 0x14, 0x00, 0x3f});
  packet.chunks = {dice_.Any<uint8_t>({1, 1, 2, 10, 11, 0, 3, 6, 7, 8, 14, 15})};
  if (dice_.OneIn(3)) packet.chunks.push_back(static_cast<uint8_t>(dice_.Below(16)));
  if (!dice_.OneIn(3)) return;
  const size_t most = dice_.Any<size_t>({4, 30, 30, 600, 1500, 1500, 4000, kLargestFrame - 200});
  packet.payload = FrameBytes(dice_.Below(most), static_cast<uint8_t>(dice_.Throw()));
}

void PacketGrammar::Decorate(PacketMaker& packet) {
  packet.identification = dice_.Below(16);
  packet.dont_fragment = dice_.OneIn(3);
  if (dice_.OneIn(10)) packet.ttl = static_cast<uint8_t>(dice_.Below(3));
  if (dice_.OneIn(6)) packet.type_of_service = static_cast<uint8_t>(dice_.Throw());
  if (dice_.OneIn(12))
    packet.options = FrameBytes(4 * dice_.Below(11), dice_.Any<uint8_t>({0, 1, 0x44, 0x83}));
  if (dice_.OneIn(8)) packet.extensions = {dice_.Any<uint8_t>({0, 43, 60}), dice_.Any<uint8_t>({43, 60})};
  if (dice_.OneIn(8)) packet.vlan = dice_.Any<uint16_t>({kVlanOfClients, kVlanOfServers, 8, 0, 0x6000});
  if (dice_.OneIn(12)) packet.wrong_checksum = true;
  if (dice_.OneIn(8)) packet.zero_udp_checksum = true;
}

PacketMaker PacketGrammar::ErrorAbout(const FrameBytes& ip, const Address& reporter) {
  PacketMaker error;
  const auto about = LookAtIp(ip, true);
  const bool is_v6 = !ip.empty() && ip[0] >> 4 == 6;
  error.names.protocol = is_v6 ? kIcmpv6 : kIcmp;
  error.names.source = reporter.is_v6 == is_v6 ? reporter : Router(is_v6);
  error.names.destination = about ? about->source : AnyVirtual(dice_, is_v6);
  const bool too_big = dice_.OneIn(2);
  const uint8_t type =
      is_v6 ? (too_big ? 2 : dice_.Any<uint8_t>({1, 3, 4, 0})) : dice_.Any<uint8_t>({3, 4, 11, 12});
  const auto code = static_cast<uint8_t>(too_big && !is_v6 ? 4 : dice_.Below(5));
  const auto mtu =
      static_cast<uint16_t>(dice_.Any<uint32_t>({0, 68, 552, 600, 1280, 1400, dice_.Below(65536)}));
  error.icmp = {static_cast<uint8_t>(too_big && !is_v6 ? 3 : type),
                code,
                0,
                0,
                0,
                0,
                static_cast<uint8_t>(mtu >> 8),
                static_cast<uint8_t>(mtu)};
  const size_t most = dice_.Any<size_t>({28, 48, 100, 548, 1232});
  error.icmp.insert(error.icmp.end(), ip.begin(),
                    ip.begin() + static_cast<std::ptrdiff_t>(std::min(ip.size(), most)));
  return error;
}

PacketMaker PacketGrammar::AnyError(const std::vector<Flow>& flows) {
  const bool is_v6 = dice_.OneIn(2);
  const Address reporter = dice_.OneIn(2) ? Router(is_v6) : AnyClient(dice_, is_v6);
  if (!remembered_.empty() && dice_.OneIn(2)) {
    const FrameBytes& sent = remembered_[dice_.Below(remembered_.size())];
    const size_t at = LookAtFrame(sent).ip_at;
    FrameBytes ip(sent.begin() + static_cast<std::ptrdiff_t>(std::min(at, sent.size())), sent.end());
    if (dice_.OneIn(6)) ip = Bend(ip);
    return ErrorAbout(ip, reporter);
  }
  PacketMaker about{.names = AnyNames(flows).Reversed()};
  Fill(about);
  FrameBytes ip = about.Ip(about.Transport());
  if (dice_.OneIn(3)) {  // it was in a tunnel, or in two, perhaps not of ours
    for (uint32_t depth = 1 + dice_.Below(2); depth > 0; --depth) {
      PacketMaker outer;
      const bool outer_is_v6 = dice_.OneIn(2);
      outer.names = {.source = TunnelSource(outer_is_v6), .destination = AnyServer(dice_, outer_is_v6)};
      outer.names.protocol = dice_.Any<uint8_t>({4, 41, 47, kUdp});
      outer.names.source_port = 40000;
      outer.names.destination_port = 6080;
      if (outer.names.protocol == kUdp)
        outer.payload = {0, static_cast<uint8_t>(ip[0] >> 4 == 6 ? 41 : 4), 0, 0};
      if (outer.names.protocol == 47)
        outer.payload = {0, 0, static_cast<uint8_t>(ip[0] >> 4 == 6 ? 0x86 : 8),
                         static_cast<uint8_t>(ip[0] >> 4 == 6 ? 0xdd : 0)};
      outer.payload.insert(outer.payload.end(), ip.begin(), ip.end());
      ip = outer.Ip(outer.Transport());
    }
  }
  return ErrorAbout(ip, reporter);
}

PacketMaker PacketGrammar::AnyEcho() {
  const bool is_v6 = dice_.OneIn(2);
  PacketMaker echo;
  echo.names = {.protocol = is_v6 ? kIcmpv6 : kIcmp,
                .source = AnyClient(dice_, is_v6),
                .destination = AnyVirtual(dice_, is_v6)};
  if (dice_.OneIn(8)) echo.names.source = AnyStrange(dice_, is_v6);
  echo.icmp = {is_v6 ? dice_.Any<uint8_t>({128, 128, 135, 129}) : dice_.Any<uint8_t>({8, 8, 0, 13}),
               0,
               0,
               0,
               0,
               1,
               0,
               1};
  echo.icmp.resize(8 + dice_.Below(dice_.Any<size_t>({2, 57, 1500, 4000})), 0x5a);
  return echo;
}

FrameBytes PacketGrammar::Bend(FrameBytes frame) {
  if (frame.empty()) return frame;
  switch (dice_.Below(6)) {
    case 0:
      for (uint32_t hits = 1 + dice_.Below(4); hits > 0; --hits)
        frame[dice_.Below(frame.size())] ^= static_cast<uint8_t>(1 << dice_.Below(8));
      break;
    case 1:  // in a header, where lengths are
      for (uint32_t hits = 1 + dice_.Below(3); hits > 0; --hits)
        frame[dice_.Below(std::min<size_t>(frame.size(), 80))] =
            dice_.OneIn(2) ? dice_.Any<uint8_t>({0, 1, 0x7f, 0x80, 0xff})
                           : static_cast<uint8_t>(dice_.Throw());
      break;
    case 2: frame.resize(dice_.Below(frame.size() + 1)); break;
    case 3:
      frame.resize(std::min(frame.size() + dice_.Below(dice_.Any<size_t>({8, 60, 2000})), kLargestFrame));
      break;
    case 4: {
      const FrameBytes noise = Noise(dice_.Below(40));
      std::copy_n(
          noise.begin(), std::min(noise.size(), frame.size()),
          frame.begin() + static_cast<std::ptrdiff_t>(frame.size() - std::min(noise.size(), frame.size())));
      break;
    }
    default: frame = Noise(dice_.Below(120)); break;
  }
  // A bent IPv4 header gets a right checksum now and then, or nobody would look further.
  if (frame.size() >= 34 && frame[12] == 0x08 && frame[13] == 0 && dice_.OneIn(2)) {
    const size_t header = std::min<size_t>((frame[14] & 15) * 4u, frame.size() - 14);
    if (header >= 20) {
      Set16(&frame[24], 0);
      Set16(&frame[24], static_cast<uint16_t>(~PlainSum(ByteSpan(frame).subspan(14, header))));
    }
  }
  return frame;
}

Arrival PacketGrammar::Deliver(FrameBytes frame, bool from_servers) {
  if (dice_.OneIn(6)) frame = Bend(std::move(frame));
  if (!frame.empty() && frame.size() < 60 && dice_.OneIn(2)) frame.resize(60);  // Ethernet's padding
  frame.resize(std::min(frame.size(), kLargestFrame));
  Arrival arrival{.port = static_cast<uint16_t>(dice_.OneIn(12) ? dice_.Below(kPorts) : from_servers)};
  const FrameView view = LookAtFrame(frame);
  arrival.checksum_is_good = dice_.OneIn(4) && view.ip && IsIpv4HeaderSound(*view.ip);
  // Devices fill a buffer before they go on to the next; some put headers into one of their own.
  if (dice_.OneIn(12)) arrival.segments.push_back(dice_.Below(200));
  for (size_t at = kBuffer; at < frame.size(); at += kBuffer) arrival.segments.push_back(kBuffer);
  arrival.frame = std::move(frame);
  return arrival;
}

std::vector<Arrival> PacketGrammar::Next(const std::vector<Flow>& flows) {
  PacketMaker packet;
  const uint32_t kind = dice_.Below(20);
  if (kind < 3) {
    packet = AnyError(flows);
  } else if (kind < 4) {
    packet = AnyEcho();
  } else {
    packet.names = AnyNames(flows);
    Fill(packet);
    if (kind == 4)
      packet.names.protocol = dice_.Any<uint8_t>({2, 4, 41, 47, 50, 89, static_cast<uint8_t>(dice_.Throw())});
  }
  Decorate(packet);
  if (dice_.OneIn(400)) return {Deliver(Noise(dice_.Below(200)), dice_.OneIn(2))};
  const bool from_servers = IsOfServers(packet.names.source);
  std::vector<FrameBytes> frames;
  const bool in_fragments = dice_.OneIn(5);
  if (in_fragments) {
    packet.dont_fragment = false;
    frames = packet.Fragments(8 * (1 + dice_.Below(dice_.Any({1, 2, 4, 100, 150}))));
    if (frames.size() > 8) frames.resize(8);
    if (dice_.OneIn(2)) std::reverse(frames.begin(), frames.end());
    if (dice_.OneIn(4) && !frames.empty()) frames.erase(frames.begin());
    if (dice_.OneIn(4) && !frames.empty()) frames.push_back(frames.front());
  } else {
    frames = {packet.Frame()};
  }
  std::vector<Arrival> arrivals;
  for (FrameBytes& frame : frames) arrivals.push_back(Deliver(std::move(frame), from_servers));
  return arrivals;
}

}  // namespace sluice::fuzz
