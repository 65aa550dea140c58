// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_tunnel.h"

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

constexpr uint8_t kProtocolIpip = 4;
constexpr uint8_t kProtocolGre = 47;

struct __attribute__((packed)) GueHeader {
  uint8_t version_and_length = 0;
  uint8_t protocol = kProtocolIpip;
  uint16_t flags = 0;
};

struct __attribute__((packed)) GreHeader {
  Be16 flags;
  Be16 ether_type = kEtherTypeIpv4;
};
constexpr Be16 kGreChecksumPresent = Be16::FromHost(0x8000);
struct __attribute__((packed)) GreChecksum {
  uint16_t checksum = 0;
  uint16_t reserved = 0;
};

// A congestion mark of the inner packet is not repeated outside.
uint8_t OuterTypeOfService(uint8_t inner) {
  constexpr uint8_t kEcnMask = 3;
  constexpr uint8_t kCongestion = 3;
  constexpr uint8_t kCapable = 2;
  return (inner & kEcnMask) == kCongestion ? (inner & ~kEcnMask) | kCapable : inner;
}

uint8_t OuterProtocol(TunnelType type) {
  switch (type) {
    case TunnelType::kIpip: return kProtocolIpip;
    case TunnelType::kGre: return kProtocolGre;
    case TunnelType::kGue: break;
  }
  return static_cast<uint8_t>(Protocol::kUdp);
}

// One of the host's usual ports for connections of its own, so that networks spread flows.
Be16 GueSourcePort(uint64_t flow_hash) {
  constexpr uint64_t kFirst = 32768;
  constexpr uint64_t kPorts = 28232;
  return Be16::FromHost(static_cast<uint16_t>(kFirst + ((flow_hash >> 32) * kPorts >> 32)));
}

void WriteGue(const TunnelSpec& tunnel, const TunnelEnds& ends, uint16_t length, uint8_t* at,
              const rte_mbuf& packet) {
  auto& udp = *reinterpret_cast<UdpHeader*>(at);
  udp = {.source_port = GueSourcePort(ends.flow_hash),
         .destination_port = tunnel.port,
         .length = Be16::FromHost(length),
         .checksum = 0};
  *reinterpret_cast<GueHeader*>(&udp + 1) = {};
  if (!tunnel.checksum) return;
  uint64_t sum = SumSegments(packet, at, length);
  sum += uint64_t{ends.source.raw} + ends.destination.raw + udp.length.raw +
         Be16::FromHost(static_cast<uint8_t>(Protocol::kUdp)).raw;
  const uint16_t checksum = static_cast<uint16_t>(~FoldSum(sum));
  udp.checksum = checksum == 0 ? 0xffff : checksum;
}

void WriteGre(const TunnelSpec& tunnel, uint16_t length, uint8_t* at, const rte_mbuf& packet) {
  auto& gre = *reinterpret_cast<GreHeader*>(at);
  gre = {};
  if (!tunnel.checksum) return;
  gre.flags = kGreChecksumPresent;
  auto& checksum = *reinterpret_cast<GreChecksum*>(&gre + 1);
  checksum = {};
  checksum.checksum = static_cast<uint16_t>(~SumSegments(packet, at, length));
}

}  // namespace

uint16_t TunnelOverhead(const TunnelSpec& tunnel) {
  switch (tunnel.type) {
    case TunnelType::kIpip: return sizeof(Ipv4Header);
    case TunnelType::kGue: return sizeof(Ipv4Header) + sizeof(UdpHeader) + sizeof(GueHeader);
    case TunnelType::kGre: break;
  }
  return sizeof(Ipv4Header) + sizeof(GreHeader) + (tunnel.checksum ? sizeof(GreChecksum) : 0);
}

Ipv4Header* Encapsulate(const TunnelSpec& tunnel, const TunnelEnds& ends, const Ipv4Header& ip,
                        rte_mbuf& packet) {
  const uint16_t overhead = TunnelOverhead(tunnel);
  const auto length = static_cast<uint16_t>(ip.total_length.ToHost() + overhead);
  const uint8_t type_of_service = OuterTypeOfService(ip.type_of_service);
  const Be16 dont_fragment{static_cast<uint16_t>(ip.flags_and_offset.raw & kIpv4DontFragment.raw)};
  const uint8_t time_to_live = ip.time_to_live;
  char* start = rte_pktmbuf_prepend(&packet, overhead);
  if (start == nullptr) return nullptr;
  auto* outer = reinterpret_cast<Ipv4Header*>(start + sizeof(EthernetHeader));
  *outer = {.version_and_length = 0x45,
            .type_of_service = type_of_service,
            .total_length = Be16::FromHost(length),
            .identification = Be16::FromHost(ends.identification),
            .flags_and_offset = dont_fragment,
            .time_to_live = time_to_live,
            .protocol = OuterProtocol(tunnel.type),
            .checksum = 0,
            .source = ends.source,
            .destination = ends.destination};
  outer->checksum = static_cast<uint16_t>(~FoldSum(SumBytes(outer, sizeof *outer)));
  auto* behind = reinterpret_cast<uint8_t*>(outer + 1);
  const auto rest = static_cast<uint16_t>(length - sizeof *outer);
  if (tunnel.type == TunnelType::kGue) WriteGue(tunnel, ends, rest, behind, packet);
  if (tunnel.type == TunnelType::kGre) WriteGre(tunnel, rest, behind, packet);
  return outer;
}

}  // namespace sluice
