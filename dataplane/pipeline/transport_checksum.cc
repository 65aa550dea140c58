// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/transport_checksum.h"

#include "dataplane/net/crc32c.h"
#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

uint64_t SumOfPseudoHeaderOf(Batch& batch, int lane, uint32_t length) {
  const auto protocol = static_cast<uint8_t>(batch.tuple[lane].protocol());
  if (batch.tuple[lane].IsV6()) {
    const FlowAddresses& addresses = batch.addresses[lane];
    return SumOfPseudoHeader(addresses.source, addresses.destination, protocol, length);
  }
  return SumOfPseudoHeader(batch.v4(lane).source, batch.v4(lane).destination, protocol, length);
}

// The field counts as zero, so the packet is summed in three parts.
bool HasSoundSctpChecksum(Batch& batch, int lane, uint32_t length) {
  const auto& sctp = *reinterpret_cast<const SctpHeader*>(batch.transport(lane));
  constexpr uint8_t kZeros[sizeof sctp.checksum] = {};
  uint32_t crc = Crc32c(kCrc32cStart, batch.transport(lane), offsetof(SctpHeader, checksum));
  crc = Crc32c(crc, kZeros, sizeof kZeros);
  return ~Crc32cSegments(*batch.packet[lane], batch.transport(lane) + sizeof sctp,
                         length - uint32_t{sizeof sctp}, crc) == sctp.checksum;
}

}  // namespace

bool HasSoundTransportChecksum(Batch& batch, int lane) {
  const rte_mbuf& packet = *batch.packet[lane];
  if ((packet.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD) return true;
  const uint32_t length = batch.ip_length[lane] - uint32_t{batch.transport_at[lane]};
  if (batch.tuple[lane].protocol() == Protocol::kSctp) return HasSoundSctpChecksum(batch, lane, length);
  return FoldSum(SumOfPseudoHeaderOf(batch, lane, length) +
                 SumSegments(packet, batch.transport(lane), length)) == 0xffff;
}

}  // namespace sluice
