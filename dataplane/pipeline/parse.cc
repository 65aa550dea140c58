// Parse: a packet is hostile until every length has been checked.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/parse_ip.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

PacketKind KindOfEtherType(Be16 ether_type) {
  if (ether_type == kEtherTypeArp) return PacketKind::kArp;
  if (ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinQ) return PacketKind::kVlan;
  return PacketKind::kOtherEtherType;
}

// A frame of a VLAN that the host is not in is none of ours.
bool IsOurVlan(const Worker& worker, const rte_mbuf& packet) {
  if (packet.data_len < sizeof(EthernetHeader) + sizeof(VlanTag)) return false;
  const auto& tag = *rte_pktmbuf_mtod_offset(&packet, const VlanTag*, sizeof(EthernetHeader));
  return worker.forwarding->HasVlan(worker.port_numbers[packet.port], tag.id());
}

}  // namespace

bool ParsePlain(const Worker& worker, Batch& batch, int lane) {
  const rte_mbuf& packet = *batch.packet[lane];
  auto* frame = rte_pktmbuf_mtod(&packet, uint8_t*);
  constexpr uint32_t kFront = sizeof(EthernetHeader) + sizeof(Ipv4Header);
  if (packet.data_len < kFront + sizeof(UdpHeader)) return false;
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(frame);
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(frame + sizeof ethernet);
  const uint32_t total = ip.total_length.ToHost();
  if (ethernet.ether_type != kEtherTypeIpv4 || ethernet.destination != worker.port_macs[packet.port] ||
      ip.version_and_length != 0x45 || (ip.flags_and_offset.raw & kIpv4MoreFragmentsOrOffset.raw) != 0 ||
      total + sizeof ethernet > packet.pkt_len || !IsHeaderSound(packet, ip)) {
    return false;
  }
  const uint8_t* transport = frame + kFront;
  if (ip.protocol == static_cast<uint8_t>(Protocol::kUdp)) {
    const uint32_t claimed = reinterpret_cast<const UdpHeader*>(transport)->length.ToHost();
    if (claimed < sizeof(UdpHeader) || claimed + sizeof ip > total) return false;
    batch.signal[lane] = 0;
  } else if (ip.protocol == static_cast<uint8_t>(Protocol::kTcp)) {
    const auto& tcp = *reinterpret_cast<const TcpHeader*>(transport);
    if (packet.data_len < kFront + sizeof tcp) return false;
    const uint32_t header = (tcp.data_offset >> 4) * 4u;
    if (header < sizeof tcp || header + sizeof ip > total || header + kFront > packet.data_len) return false;
    SetTcpSignal(batch, lane, tcp);
  } else {
    return false;
  }
  batch.kind[lane] = PacketKind::kFlow;
  batch.ip[lane] = frame + sizeof ethernet;
  batch.ip_length[lane] = static_cast<uint16_t>(total);
  batch.transport_at[lane] = sizeof ip;
  uint32_t ports;
  std::memcpy(&batch.tuple[lane].addresses, frame + sizeof ethernet + offsetof(Ipv4Header, source),
              sizeof(uint64_t));
  std::memcpy(&ports, transport, sizeof ports);
  batch.tuple[lane].rest = ports | uint64_t{ip.protocol} << 32;
  batch.plain |= LaneBit(lane);
  // Asked for now, its bucket is here when Lookup comes to it.
  batch.hash[lane] = worker.connections.Hash(batch.tuple[lane]);
  worker.connections.PrefetchBucket(batch.hash[lane]);
  return true;
}

bool ParseThoroughly(Worker& worker, Batch& batch, int lane) {
  rte_mbuf* packet = batch.packet[lane];
  auto* start = rte_pktmbuf_mtod(packet, uint8_t*);
  if (packet->data_len < sizeof(EthernetHeader)) {
    Drop(worker, batch, lane, Counter::kDropFrameTruncated);
    return false;
  }
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(start);
  if (ethernet.destination != worker.port_macs[packet->port]) {
    const bool group = ethernet.destination.bytes[0] & 1;
    if (group) {
      batch.kind[lane] = PacketKind::kGroupAddress;
      return true;
    }
    Drop(worker, batch, lane, Counter::kDropOtherHost);
    return false;
  }
  uint32_t in_front = sizeof(EthernetHeader);
  Be16 ether_type = ethernet.ether_type;
  if (ether_type == kEtherTypeVlan && IsOurVlan(worker, *packet)) {
    ether_type = reinterpret_cast<const VlanTag*>(start + in_front)->ether_type;
    in_front += sizeof(VlanTag);
  }
  const IpBytes ip = {start + in_front, packet->data_len - in_front, packet->pkt_len - in_front};
  if (ether_type == kEtherTypeIpv4) return ParseIpv4(worker, batch, lane, ip);
  if (ether_type == kEtherTypeIpv6) return ParseIpv6(worker, batch, lane, ip);
  batch.kind[lane] = KindOfEtherType(ether_type);
  return true;
}

LaneMask Parse(Worker& worker, Batch& batch, LaneMask lanes) {
  batch.scheduled = 0;
  batch.answers = 0;
  batch.first_fragments = 0;
  batch.plain = 0;
  batch.opening = 0;
  for (int lane : Lanes(lanes)) __builtin_prefetch(rte_pktmbuf_mtod(batch.packet[lane], void*));
  LaneMask sound = 0;
  for (int lane : Lanes(lanes)) {
    batch.verdict[lane] = Verdict::kNone;
    if (ParsePlain(worker, batch, lane) || ParseThoroughly(worker, batch, lane)) sound |= LaneBit(lane);
  }
  return sound;
}

}  // namespace sluice
