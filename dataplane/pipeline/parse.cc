// Parse: a packet is hostile until every length has been checked.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

// Headers must be in the first segment of a packet; what follows may be elsewhere.
struct Frame {
  uint8_t* start;
  uint32_t contiguous;
  uint32_t total;
};

bool ParseTcp(Worker& worker, Batch& batch, int lane, const uint8_t* transport, uint32_t length) {
  if (length < sizeof(TcpHeader)) {
    Drop(worker, batch, lane, Counter::kDropTcpTruncated);
    return false;
  }
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(transport);
  const uint32_t header = (tcp.data_offset >> 4) * 4u;
  if (header < sizeof(TcpHeader) || header > length) {
    Drop(worker, batch, lane, Counter::kDropTcpHeader);
    return false;
  }
  batch.signal[lane] = tcp.flags;
  return true;
}

bool ParseUdp(Worker& worker, Batch& batch, int lane, const uint8_t* transport, uint32_t length,
              uint32_t whole_length, bool is_fragment) {
  if (length < sizeof(UdpHeader)) {
    Drop(worker, batch, lane, Counter::kDropUdpTruncated);
    return false;
  }
  const uint16_t claimed = reinterpret_cast<const UdpHeader*>(transport)->length.ToHost();
  if (claimed < sizeof(UdpHeader) || (claimed > whole_length && !is_fragment)) {
    Drop(worker, batch, lane, Counter::kDropUdpLength);
    return false;
  }
  batch.signal[lane] = 0;
  return true;
}

bool ParseSctp(Worker& worker, Batch& batch, int lane, const uint8_t* transport, uint32_t length) {
  constexpr uint32_t kFirstChunk = sizeof(SctpHeader);
  if (length < kFirstChunk + sizeof(SctpChunkHeader)) {
    Drop(worker, batch, lane, Counter::kDropSctpTruncated);
    return false;
  }
  const auto& first = *reinterpret_cast<const SctpChunkHeader*>(transport + kFirstChunk);
  const uint32_t next_at = kFirstChunk + ((first.length.ToHost() + 3u) & ~3u);
  const bool has_next = first.length.ToHost() >= sizeof first && next_at + sizeof(SctpChunkHeader) <= length;
  batch.signal[lane] = SctpEventOf(first.type, has_next ? transport[next_at] : uint8_t{0});
  return true;
}

// An ICMP error quotes the packet it is about: its IP header, and of the transport at least eight bytes.
PacketKind ParseIcmp(Batch& batch, int lane, const uint8_t* icmp, uint32_t length) {
  constexpr uint32_t kLeastTransport = 8;
  if (length < sizeof(IcmpHeader) + sizeof(Ipv4Header)) return PacketKind::kIcmp;
  if (!IsIcmpError(reinterpret_cast<const IcmpHeader*>(icmp)->type)) return PacketKind::kIcmp;
  const auto& about = *reinterpret_cast<const Ipv4Header*>(icmp + sizeof(IcmpHeader));
  const uint32_t header = static_cast<uint32_t>(about.header_length());
  const auto protocol = static_cast<Protocol>(about.protocol);
  const bool is_sound = about.version_and_length >> 4 == 4 && header >= sizeof(Ipv4Header) &&
                        length >= sizeof(IcmpHeader) + header + kLeastTransport;
  const bool is_first = (about.flags_and_offset.raw & kIpv4FragmentOffset.raw) == 0;
  const bool is_flow =
      protocol == Protocol::kTcp || protocol == Protocol::kUdp || protocol == Protocol::kSctp;
  if (!is_sound || !is_first || !is_flow) return PacketKind::kIcmp;
  const auto& ports = *reinterpret_cast<const UdpHeader*>(icmp + sizeof(IcmpHeader) + header);
  batch.tuple[lane] =
      Ipv4Tuple::Of(about.destination, about.source, ports.destination_port, ports.source_port, protocol);
  batch.signal[lane] = 0;
  return PacketKind::kIcmpError;
}

// Its ports are those of the first fragment: it waits for that if need be. From another worker they come
// along.
bool ParseLaterFragment(Worker& worker, Batch& batch, int lane) {
  const Ipv4Header& ip = *batch.ip[lane];
  const auto protocol = static_cast<Protocol>(ip.protocol);
  if (protocol != Protocol::kTcp && protocol != Protocol::kUdp && protocol != Protocol::kSctp) {
    batch.kind[lane] = PacketKind::kFragment;
    return true;
  }
  rte_mbuf* packet = batch.packet[lane];
  const FragmentTable::Key key = FragmentTable::Key::Of(ip);
  std::optional<FragmentTable::Ports> ports;
  if (batch.from_peer) {
    ports = FragmentTable::Ports{{static_cast<uint16_t>(packet->hash.usr)},
                                 {static_cast<uint16_t>(packet->hash.usr >> 16)}};
  } else {
    ports = worker.fragments.Find(key, worker.now);
  }
  if (!ports) {
    if (worker.fragments.Hold(key, packet, worker.now)) {
      batch.verdict[lane] = Verdict::kHeld;
    } else {
      Drop(worker, batch, lane, Counter::kDropFragmentsFull);
    }
    return false;
  }
  batch.tuple[lane] = Ipv4Tuple::Of(ip.source, ip.destination, ports->source, ports->destination, protocol);
  batch.signal[lane] = 0;
  batch.kind[lane] = PacketKind::kLaterFragment;
  return true;
}

bool IsFirstFragment(const Ipv4Header& ip) {
  return (ip.flags_and_offset.raw & kIpv4MoreFragmentsOrOffset.raw) == kIpv4MoreFragments.raw;
}

bool ParseIpv4(Worker& worker, Batch& batch, int lane, const Frame& frame) {
  constexpr uint32_t kIpStart = sizeof(EthernetHeader);
  if (frame.contiguous < kIpStart + sizeof(Ipv4Header)) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  auto& ip = *reinterpret_cast<Ipv4Header*>(frame.start + kIpStart);
  const uint32_t header = ip.header_length();
  if (ip.version_and_length >> 4 != 4 || header < sizeof(Ipv4Header)) {
    Drop(worker, batch, lane, Counter::kDropIpHeader);
    return false;
  }
  const uint32_t total = ip.total_length.ToHost();
  if (total < header) {
    Drop(worker, batch, lane, Counter::kDropIpLength);
    return false;
  }
  if (frame.total < kIpStart + total || frame.contiguous < kIpStart + header) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  if (FoldSum(SumBytes(&ip, header)) != 0xffff) {
    Drop(worker, batch, lane, Counter::kDropIpChecksum);
    return false;
  }
  batch.ip[lane] = &ip;
  batch.ip_length[lane] = static_cast<uint16_t>(total);
  if ((ip.flags_and_offset.raw & kIpv4FragmentOffset.raw) != 0)
    return ParseLaterFragment(worker, batch, lane);
  const uint8_t* transport = frame.start + kIpStart + header;
  const uint32_t whole_length = total - header;
  const uint32_t length = std::min(whole_length, frame.contiguous - kIpStart - header);
  const auto protocol = static_cast<Protocol>(ip.protocol);
  if (protocol == Protocol::kTcp) {
    if (!ParseTcp(worker, batch, lane, transport, length)) return false;
  } else if (protocol == Protocol::kUdp) {
    if (!ParseUdp(worker, batch, lane, transport, length, whole_length, IsFirstFragment(ip))) return false;
  } else if (protocol == Protocol::kSctp) {
    if (!ParseSctp(worker, batch, lane, transport, length)) return false;
  } else {
    batch.kind[lane] =
        protocol == Protocol::kIcmp ? ParseIcmp(batch, lane, transport, length) : PacketKind::kOtherProtocol;
    return true;
  }
  const auto& ports = *reinterpret_cast<const UdpHeader*>(transport);  // where TCP and SCTP have them, too
  batch.tuple[lane] =
      Ipv4Tuple::Of(ip.source, ip.destination, ports.source_port, ports.destination_port, protocol);
  batch.kind[lane] = PacketKind::kFlow;
  if (IsFirstFragment(ip))
    worker.fragments.Learn(FragmentTable::Key::Of(ip), {ports.source_port, ports.destination_port},
                           worker.now);
  return true;
}

PacketKind KindOfEtherType(Be16 ether_type) {
  if (ether_type == kEtherTypeArp) return PacketKind::kArp;
  if (ether_type == kEtherTypeIpv6) return PacketKind::kIpv6;
  if (ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinQ) return PacketKind::kVlan;
  return PacketKind::kOtherEtherType;
}

bool ParsePacket(Worker& worker, Batch& batch, int lane) {
  rte_mbuf* packet = batch.packet[lane];
  const Frame frame = {rte_pktmbuf_mtod(packet, uint8_t*), packet->data_len, packet->pkt_len};
  if (frame.contiguous < sizeof(EthernetHeader)) {
    Drop(worker, batch, lane, Counter::kDropFrameTruncated);
    return false;
  }
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(frame.start);
  if (ethernet.destination != worker.port_macs[packet->port]) {
    const bool group = ethernet.destination.bytes[0] & 1;
    if (group) {
      batch.kind[lane] = PacketKind::kGroupAddress;
      return true;
    }
    Drop(worker, batch, lane, Counter::kDropOtherHost);
    return false;
  }
  if (ethernet.ether_type == kEtherTypeIpv4) return ParseIpv4(worker, batch, lane, frame);
  batch.kind[lane] = KindOfEtherType(ethernet.ether_type);
  return true;
}

}  // namespace

LaneMask Parse(Worker& worker, Batch& batch, LaneMask lanes) {
  batch.scheduled = 0;
  batch.answers = 0;
  for (int lane : Lanes(lanes)) __builtin_prefetch(rte_pktmbuf_mtod(batch.packet[lane], void*));
  LaneMask sound = 0;
  for (int lane : Lanes(lanes)) {
    batch.verdict[lane] = Verdict::kNone;
    if (ParsePacket(worker, batch, lane)) sound |= LaneBit(lane);
  }
  return sound;
}

}  // namespace sluice
