// Parse: a packet is hostile until every length has been checked.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "dataplane/net/address_fault.h"
#include "dataplane/pipeline/parse_ip.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

PacketKind KindOfEtherType(Be16 ether_type) {
  if (ether_type == kEtherTypeArp) return PacketKind::kArp;
  if (ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinQ) return PacketKind::kVlan;
  return PacketKind::kOtherEtherType;
}

// A tag that says a priority and no VLAN: what is behind it is untagged (IEEE 802.1Q, 6.9).
void RemovePriorityTag(rte_mbuf& packet) {
  auto* start = rte_pktmbuf_mtod(&packet, uint8_t*);
  std::memmove(start + sizeof(VlanTag), start, offsetof(EthernetHeader, ether_type));
  BeginAt(packet, start + sizeof(VlanTag));
}

constexpr uint32_t kEthernet = sizeof(EthernetHeader);

// The transport header `front` bytes from the frame's start, of a packet that ends at `end`.
inline bool ParsePlainTransport(Batch& batch, int lane, const uint8_t* frame, uint32_t front, uint32_t end,
                                uint8_t protocol) {
  const uint8_t* transport = frame + front;
  if (protocol == static_cast<uint8_t>(Protocol::kUdp)) {
    const uint32_t claimed = reinterpret_cast<const UdpHeader*>(transport)->length.ToHost();
    batch.signal[lane] = 0;
    return claimed >= sizeof(UdpHeader) && front + claimed <= end;
  }
  const uint32_t contiguous = batch.packet[lane]->data_len;
  if (protocol != static_cast<uint8_t>(Protocol::kTcp) || contiguous < front + sizeof(TcpHeader))
    return false;
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(transport);
  const uint32_t header = (tcp.data_offset >> 4) * 4u;
  if (header < sizeof tcp || front + header > end || front + header > contiguous) return false;
  SetTcpSignal(batch, lane, tcp);
  return true;
}

inline uint64_t RestOfTuple(const uint8_t* transport, uint8_t protocol) {
  uint32_t ports;
  std::memcpy(&ports, transport, sizeof ports);
  return ports | uint64_t{protocol} << 32;
}

bool ParsePlainV4(const rte_mbuf& packet, Batch& batch, int lane) {
  uint8_t* frame = rte_pktmbuf_mtod(&packet, uint8_t*);
  constexpr uint32_t kFront = kEthernet + sizeof(Ipv4Header);
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(frame + kEthernet);
  const uint32_t total = ip.total_length.ToHost();
  if (ip.version_and_length != 0x45 || (ip.flags_and_offset.raw & kIpv4MoreFragmentsOrOffset.raw) != 0 ||
      total + kEthernet > packet.pkt_len || !IsHeaderSound(packet, ip) ||
      !ParsePlainTransport(batch, lane, frame, kFront, total + kEthernet, ip.protocol)) {
    return false;
  }
  batch.ip_length[lane] = static_cast<uint16_t>(total);
  batch.transport_at[lane] = sizeof ip;
  uint64_t addresses;
  std::memcpy(&addresses, frame + kEthernet + offsetof(Ipv4Header, source), sizeof addresses);
  if (!AreAddressesPlain(addresses)) return false;
  batch.tuple[lane].addresses = addresses;
  batch.tuple[lane].rest = RestOfTuple(frame + kFront, ip.protocol);
  return true;
}

bool ParsePlainV6(const Worker& worker, const rte_mbuf& packet, Batch& batch, int lane) {
  uint8_t* frame = rte_pktmbuf_mtod(&packet, uint8_t*);
  constexpr uint32_t kFront = kEthernet + sizeof(Ipv6Header);
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(frame + kEthernet);
  const uint32_t end = ip.payload_length.ToHost() + kFront;
  if (packet.data_len < kFront + sizeof(UdpHeader) || !IsV6Header(frame + kEthernet) ||
      end > packet.pkt_len || end > kEthernet + UINT16_MAX || !AreAddressesPlain(ip.source, ip.destination) ||
      !ParsePlainTransport(batch, lane, frame, kFront, end, ip.next_header)) {
    return false;
  }
  batch.ip_length[lane] = static_cast<uint16_t>(end - kEthernet);
  batch.transport_at[lane] = sizeof ip;
  const auto& ports = *reinterpret_cast<const UdpHeader*>(frame + kFront);
  SetIpv6Tuple(worker, batch, lane, {ip.source, ip.destination}, {ports.source_port, ports.destination_port},
               static_cast<Protocol>(ip.next_header));
  batch.plain_v6 |= LaneBit(lane);
  return true;
}

// In line: a call for every packet costs more than a nanosecond.
[[gnu::always_inline]] inline bool ParseFlow(const Worker& worker, Batch& batch, int lane) {
  const rte_mbuf& packet = *batch.packet[lane];
  uint8_t* frame = rte_pktmbuf_mtod(&packet, uint8_t*);
  if (packet.data_len < kEthernet + sizeof(Ipv4Header) + sizeof(UdpHeader)) return false;
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(frame);
  if (ethernet.destination != worker.port_macs[packet.port]) return false;
  if (ethernet.ether_type == kEtherTypeIpv4) {
    if (!ParsePlainV4(packet, batch, lane)) return false;
  } else if (ethernet.ether_type != kEtherTypeIpv6 || !ParsePlainV6(worker, packet, batch, lane)) {
    return false;
  }
  batch.ip[lane] = frame + kEthernet;
  batch.plain |= LaneBit(lane);
  // Asked for now, its bucket is here when Lookup comes to it.
  batch.hash[lane] = worker.connections.Hash(batch.tuple[lane]);
  worker.connections.PrefetchBucket(batch.hash[lane]);
  return true;
}

}  // namespace

bool ParsePlain(const Worker& worker, Batch& batch, int lane) { return ParseFlow(worker, batch, lane); }

bool ParseThoroughly(Worker& worker, Batch& batch, int lane) {
  rte_mbuf* packet = batch.packet[lane];
  auto* start = rte_pktmbuf_mtod(packet, uint8_t*);
  if (packet->data_len < sizeof(EthernetHeader)) {
    Drop(worker, batch, lane, Counter::kDropFrameTruncated);
    return false;
  }
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(start);
  const bool is_group = ethernet.destination.bytes[0] & 1;
  if (!is_group && ethernet.destination != worker.port_macs[packet->port]) {
    Drop(worker, batch, lane, Counter::kDropOtherHost);
    return false;
  }
  uint32_t in_front = sizeof(EthernetHeader);
  Be16 ether_type = ethernet.ether_type;
  if (ether_type == kEtherTypeVlan) {
    if (packet->data_len < sizeof(EthernetHeader) + sizeof(VlanTag)) {
      Drop(worker, batch, lane, Counter::kDropFrameTruncated);
      return false;
    }
    const auto& tag = *reinterpret_cast<const VlanTag*>(start + in_front);
    const bool is_priority_tag = tag.id() == 0 && tag.ether_type != kEtherTypeVlan;  // one is enough
    if (is_priority_tag) {
      RemovePriorityTag(*packet);
      return ParsePlain(worker, batch, lane) || ParseThoroughly(worker, batch, lane);
    }
    if (!worker.forwarding->HasVlan(worker.port_numbers[packet->port], tag.id())) {
      Drop(worker, batch, lane, Counter::kDropVlan);
      return false;
    }
    ether_type = tag.ether_type;
    in_front += sizeof(VlanTag);
  }
  if (is_group) {
    batch.kind[lane] = PacketKind::kGroupAddress;
    return true;
  }
  const IpBytes ip = {start + in_front, packet->data_len - in_front, packet->pkt_len - in_front};
  if (ether_type == kEtherTypeIpv4) return ParseIpv4(worker, batch, lane, ip);
  if (ether_type == kEtherTypeIpv6) return ParseIpv6(worker, batch, lane, ip);
  batch.kind[lane] = KindOfEtherType(ether_type);
  return true;
}

namespace {

// So many packets ago its bucket was asked for: now the connection can be.
constexpr int kGuessBehind = 12;

inline void GuessOf(const Worker& worker, Batch& batch, int lane) {
  if (!(batch.plain & LaneBit(lane))) return;
  batch.guessed |= LaneBit(lane);
  batch.entry[lane] = worker.connections.Guess(batch.hash[lane]);
  worker.connections.PrefetchConnection(batch.entry[lane]);
  if (batch.plain_v6 & LaneBit(lane)) worker.connections.PrefetchAddresses(batch.entry[lane]);
}

}  // namespace

static_assert(static_cast<int>(PacketKind::kFlow) == 0 && static_cast<int>(Verdict::kNone) == 0);

LaneMask Parse(Worker& worker, Batch& batch, LaneMask lanes) {
  batch.scheduled = batch.forgotten = batch.answers = 0;
  batch.first_fragments = batch.plain = batch.plain_v6 = batch.opening = batch.guessed = 0;
  std::memset(batch.kind, 0, sizeof batch.kind);
  std::memset(batch.verdict, 0, sizeof batch.verdict);
  for (int lane : Lanes(lanes)) __builtin_prefetch(rte_pktmbuf_mtod(batch.packet[lane], void*));
  LaneMask sound = 0;
  for (int lane : Lanes(lanes)) {
    if (ParseFlow(worker, batch, lane) || ParseThoroughly(worker, batch, lane)) sound |= LaneBit(lane);
    if (lane >= kGuessBehind) GuessOf(worker, batch, lane - kGuessBehind);
  }
  return sound;
}

}  // namespace sluice
