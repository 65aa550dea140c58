// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/segments.h"

#include <algorithm>
#include <utility>

#include "dataplane/net/checksum.h"
#include "dataplane/net/crc32c.h"

namespace sluice {
namespace {

// Calls `add` with each piece of those bytes.
template <class Add>
void ForEachPiece(const rte_mbuf& packet, const uint8_t* first, uint32_t length, Add add) {
  const uint32_t skipped = static_cast<uint32_t>(first - rte_pktmbuf_mtod(&packet, const uint8_t*));
  uint32_t here = std::min<uint32_t>(length, packet.data_len - skipped);
  add(first, here);
  for (const rte_mbuf* segment = packet.next; segment != nullptr && (length -= here) > 0;
       segment = segment->next) {
    here = std::min<uint32_t>(length, segment->data_len);
    add(rte_pktmbuf_mtod(segment, const uint8_t*), here);
  }
}

}  // namespace

void CutTo(rte_mbuf& packet, uint32_t length) {
  if (packet.pkt_len <= length) return;
  packet.pkt_len = length;
  rte_mbuf* last = &packet;
  uint16_t segments = 1;
  for (; length > last->data_len; ++segments) {
    length -= last->data_len;
    last = last->next;
  }
  last->data_len = static_cast<uint16_t>(length);
  packet.nb_segs = segments;
  rte_pktmbuf_free(std::exchange(last->next, nullptr));
}

uint16_t SumSegments(const rte_mbuf& packet, const uint8_t* first, uint32_t length) {
  uint64_t sum = 0;
  bool odd = false;
  ForEachPiece(packet, first, length, [&](const uint8_t* bytes, uint32_t count) {
    const uint16_t part = FoldSum(SumBytes(bytes, count));
    sum += odd ? __builtin_bswap16(part) : part;
    odd ^= count & 1;
  });
  return FoldSum(sum);
}

uint32_t Crc32cSegments(const rte_mbuf& packet, const uint8_t* first, uint32_t length, uint32_t crc) {
  ForEachPiece(packet, first, length,
               [&](const uint8_t* bytes, uint32_t count) { crc = Crc32c(crc, bytes, count); });
  return crc;
}

}  // namespace sluice
