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

bool ParsePacket(Worker& worker, Batch& batch, int lane) {
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

}  // namespace

LaneMask Parse(Worker& worker, Batch& batch, LaneMask lanes) {
  batch.scheduled = 0;
  batch.answers = 0;
  batch.first_fragments = 0;
  for (int lane : Lanes(lanes)) __builtin_prefetch(rte_pktmbuf_mtod(batch.packet[lane], void*));
  LaneMask sound = 0;
  for (int lane : Lanes(lanes)) {
    batch.verdict[lane] = Verdict::kNone;
    if (ParsePacket(worker, batch, lane)) sound |= LaneBit(lane);
  }
  return sound;
}

}  // namespace sluice
