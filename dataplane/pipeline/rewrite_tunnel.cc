// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_tunnel.h"

#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

struct __attribute__((packed)) GueHeader {
  uint8_t version_and_length = 0;
  uint8_t protocol;
  uint16_t flags = 0;
};
static_assert(sizeof(GueHeader) == kGueHeader);

struct __attribute__((packed)) GreHeader {
  Be16 flags;
  Be16 ether_type;
};
constexpr Be16 kGreChecksumPresent = Be16::FromHost(0x8000);
struct __attribute__((packed)) GreChecksum {
  uint16_t checksum = 0;
  uint16_t reserved = 0;
};

// What the outer headers take over from the inner one.
struct Inner {
  bool is_v6;
  uint16_t length;
  uint8_t type_of_service;
  uint8_t time_to_live;
  Be16 dont_fragment;

  uint8_t protocol() const { return is_v6 ? kProtocolIpv6 : kProtocolIpip; }
  Be16 ether_type() const { return is_v6 ? kEtherTypeIpv6 : kEtherTypeIpv4; }
};

Inner InnerOf(Batch& batch, int lane, bool is_v6) {
  if (is_v6) {
    const Ipv6Header& ip = batch.v6(lane);
    return {true, batch.ip_length[lane], ip.traffic_class(), ip.hop_limit, Be16{}};
  }
  const Ipv4Header& ip = batch.v4(lane);
  return {false,
          batch.ip_length[lane],
          ip.type_of_service,
          ip.time_to_live,
          {static_cast<uint16_t>(ip.flags_and_offset.raw & kIpv4DontFragment.raw)}};
}

void WriteGue(const TunnelSpec& tunnel, const TunnelEnds& ends, const Inner& inner, uint16_t length,
              uint8_t* at) {
  auto& udp = *reinterpret_cast<UdpHeader*>(at);
  udp = {.source_port = GueSourcePort(ends.packet.flow_hash),
         .destination_port = tunnel.port,
         .length = Be16::FromHost(length),
         .checksum = 0};
  *reinterpret_cast<GueHeader*>(&udp + 1) = {.protocol = inner.protocol()};
}

void FillInGueChecksum(const TunnelEnds& ends, uint16_t length, uint8_t* at, const rte_mbuf& packet) {
  constexpr auto kUdp = static_cast<uint8_t>(Protocol::kUdp);
  const uint64_t pseudo = ends.source.IsV4()
                              ? SumOfPseudoHeader(ends.source.V4(), ends.destination.V4(), kUdp, length)
                              : SumOfPseudoHeader(ends.source.V6(), ends.destination.V6(), kUdp, length);
  reinterpret_cast<UdpHeader*>(at)->checksum = UdpChecksumOf(SumSegments(packet, at, length) + pseudo);
}

void WriteGre(const Inner& inner, uint8_t* at) {
  *reinterpret_cast<GreHeader*>(at) = {.flags = Be16{}, .ether_type = inner.ether_type()};
}

void FillInGreChecksum(uint16_t length, uint8_t* at, const rte_mbuf& packet) {
  auto& gre = *reinterpret_cast<GreHeader*>(at);
  gre.flags = kGreChecksumPresent;
  auto& checksum = *reinterpret_cast<GreChecksum*>(&gre + 1);
  checksum = {};
  checksum.checksum = static_cast<uint16_t>(~SumSegments(packet, at, length));
}

void WriteOuterV4(const TunnelSpec& tunnel, const TunnelEnds& ends, const Inner& inner, uint16_t length,
                  uint8_t* at) {
  auto& outer = *reinterpret_cast<Ipv4Header*>(at);
  outer = {.version_and_length = 0x45,
           .type_of_service = OuterTypeOfService(inner.type_of_service),
           .total_length = Be16::FromHost(length),
           .identification = Be16::FromHost(ends.packet.identification),
           .flags_and_offset = ends.packet.may_be_split ? Be16{} : inner.dont_fragment,
           .time_to_live = inner.time_to_live,
           .protocol = TunnelProtocol(tunnel.type, inner.is_v6),
           .checksum = 0,
           .source = ends.source.V4(),
           .destination = ends.destination.V4()};
  outer.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&outer, sizeof outer)));
}

void WriteOuterV6(const TunnelSpec& tunnel, const TunnelEnds& ends, const Inner& inner, uint16_t length,
                  uint8_t* at) {
  *reinterpret_cast<Ipv6Header*>(at) = {
      .version_class_label = FirstWordOfIpv6(OuterTypeOfService(inner.type_of_service)),
      .payload_length = Be16::FromHost(static_cast<uint16_t>(length - sizeof(Ipv6Header))),
      .next_header = TunnelProtocol(tunnel.type, inner.is_v6),
      .hop_limit = inner.time_to_live,
      .source = ends.source.V6(),
      .destination = ends.destination.V6()};
}

uint16_t OuterHeader(bool is_v6) { return is_v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header); }

}  // namespace

uint8_t TunnelProtocol(TunnelType type, bool inner_is_v6) {
  switch (type) {
    case TunnelType::kIpip: return inner_is_v6 ? kProtocolIpv6 : kProtocolIpip;
    case TunnelType::kGre: return kProtocolGre;
    case TunnelType::kGue: break;
  }
  return static_cast<uint8_t>(Protocol::kUdp);
}

Be16 GueSourcePort(uint64_t flow_hash) {
  constexpr uint64_t kFirst = 32768;
  constexpr uint64_t kPorts = 28232;
  return Be16::FromHost(static_cast<uint16_t>(kFirst + ((flow_hash >> 32) * kPorts >> 32)));
}

uint16_t TunnelOverhead(const TunnelSpec& tunnel, bool outer_is_v6) {
  const uint16_t outer = OuterHeader(outer_is_v6);
  switch (tunnel.type) {
    case TunnelType::kIpip: return outer;
    case TunnelType::kGue: return static_cast<uint16_t>(outer + sizeof(UdpHeader) + sizeof(GueHeader));
    case TunnelType::kGre: break;
  }
  return static_cast<uint16_t>(outer + sizeof(GreHeader) + (tunnel.checksum ? sizeof(GreChecksum) : 0));
}

bool Encapsulate(const TunnelSpec& tunnel, const TunnelEnds& ends, Batch& batch, int lane) {
  rte_mbuf& packet = *batch.packet[lane];
  const bool outer_is_v6 = !ends.source.IsV4();
  const uint16_t overhead = TunnelOverhead(tunnel, outer_is_v6);
  const Inner inner = InnerOf(batch, lane, IsV6Header(batch.ip[lane]));
  uint8_t* outer = batch.ip[lane] - overhead;
  if (inner.length + overhead > UINT16_MAX || !HasRoomFor(packet, outer)) return false;
  BeginAt(packet, outer);
  const auto length = static_cast<uint16_t>(inner.length + overhead);
  outer_is_v6 ? WriteOuterV6(tunnel, ends, inner, length, outer)
              : WriteOuterV4(tunnel, ends, inner, length, outer);
  uint8_t* behind = outer + OuterHeader(outer_is_v6);
  const auto rest = static_cast<uint16_t>(length - OuterHeader(outer_is_v6));
  if (tunnel.type == TunnelType::kGue) {
    WriteGue(tunnel, ends, inner, rest, behind);
    if (tunnel.checksum) FillInGueChecksum(ends, rest, behind, packet);
  } else if (tunnel.type == TunnelType::kGre) {
    WriteGre(inner, behind);
    if (tunnel.checksum) FillInGreChecksum(rest, behind, packet);
  }
  batch.ip[lane] = outer;
  batch.ip_length[lane] = length;
  return true;
}

TunnelHeaders::TunnelHeaders(const TunnelSpec& tunnel, const IpAddress& source, const IpAddress& destination,
                             InnerPackets inner_packets) {
  if (tunnel.checksum) return;
  tunnel_ = tunnel;
  inner_ = inner_packets;
  from_inner_ = inner_.may_be_split ? kTypeOfService : kTypeOfService | kDontFragment;
  outer_is_v6_ = !destination.IsV4();
  ether_type_ = outer_is_v6_ ? kEtherTypeIpv6 : kEtherTypeIpv4;
  is_gue_ = tunnel.type == TunnelType::kGue;
  are_ipv4_in_ipv4_ = tunnel.type == TunnelType::kIpip && !inner_.are_v6 && !outer_is_v6_;
  const TunnelEnds ends = {.source = source, .destination = destination};
  length_ = static_cast<uint8_t>(TunnelOverhead(tunnel, outer_is_v6_));
  const Inner inner = {inner_.are_v6, 0, 0, 0, Be16{}};
  uint8_t* behind = bytes_ + OuterHeader(outer_is_v6_);
  if (is_gue_) WriteGue(tunnel, ends, inner, 0, behind);
  if (tunnel.type == TunnelType::kGre) WriteGre(inner, behind);
  if (outer_is_v6_) {
    WriteOuterV6(tunnel, ends, inner, sizeof(Ipv6Header), bytes_);
  } else {
    WriteOuterV4(tunnel, ends, inner, 0, bytes_);
    auto& ip = *reinterpret_cast<Ipv4Header*>(bytes_);
    sum_ = static_cast<uint16_t>(~ip.checksum);
    ip.checksum = 0;
    rest_sum_ = FoldSum(SumBytes(bytes_ + sizeof(uint64_t), sizeof ip - sizeof(uint64_t)));
  }
}

void TunnelHeaders::PutOn(const TunnelPacket& packet, Batch& batch, int lane) const {
  const Inner inner = InnerOf(batch, lane, inner_.are_v6);
  uint8_t* outer = batch.ip[lane] - length_;
  std::memcpy(outer - sizeof ether_type_, &ether_type_, sizeof ether_type_);
  const auto length = static_cast<uint16_t>(inner.length + length_);
  const uint8_t type_of_service = OuterTypeOfService(inner.type_of_service);
  const uint16_t front = OuterHeader(outer_is_v6_);
  if (outer_is_v6_) {
    std::memcpy(outer, bytes_, sizeof(Ipv6Header));
    auto& ip = *reinterpret_cast<Ipv6Header*>(outer);
    ip.version_class_label = FirstWordOfIpv6(type_of_service);
    ip.payload_length = Be16::FromHost(static_cast<uint16_t>(length - sizeof ip));
    ip.hop_limit = inner.time_to_live;
  } else {
    std::memcpy(outer, bytes_, sizeof(Ipv4Header));
    auto& ip = *reinterpret_cast<Ipv4Header*>(outer);
    ip.type_of_service = type_of_service;
    ip.total_length = Be16::FromHost(length);
    ip.identification = Be16::FromHost(packet.identification);
    ip.flags_and_offset = packet.may_be_split ? Be16{} : inner.dont_fragment;
    ip.time_to_live = inner.time_to_live;
    ip.checksum = static_cast<uint16_t>(~FoldSum(
        uint64_t{sum_} + Be16::FromHost(type_of_service).raw + ip.total_length.raw + ip.identification.raw +
        ip.flags_and_offset.raw + Be16::FromHost(static_cast<uint16_t>(inner.time_to_live << 8)).raw));
  }
  if (length_ > front) {
    std::memcpy(outer + front, bytes_ + front, sizeof(GreHeader));
    if (is_gue_) {
      std::memcpy(outer + front, bytes_ + front, sizeof(UdpHeader) + kGueHeader);
      auto& udp = *reinterpret_cast<UdpHeader*>(outer + front);
      udp.source_port = GueSourcePort(packet.flow_hash);
      udp.length = Be16::FromHost(static_cast<uint16_t>(length - front));
    }
  }
  batch.ip[lane] = outer;
  batch.ip_length[lane] = length;
}

}  // namespace sluice
