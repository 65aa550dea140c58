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
  const IpBytes ip = {start + sizeof(EthernetHeader), packet->data_len - uint32_t{sizeof(EthernetHeader)},
                      packet->pkt_len - uint32_t{sizeof(EthernetHeader)}};
  if (ethernet.ether_type == kEtherTypeIpv4) return ParseIpv4(worker, batch, lane, ip);
  if (ethernet.ether_type == kEtherTypeIpv6) return ParseIpv6(worker, batch, lane, ip);
  batch.kind[lane] = KindOfEtherType(ethernet.ether_type);
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
