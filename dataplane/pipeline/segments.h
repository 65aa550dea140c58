// Packets that may go on from one buffer segment to the next: sums over their bytes, and their end.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/net/crc32c.h"

namespace sluice {

// The one's complement sum of `length` bytes that start at `first`, in the first segment.
uint16_t SumSegments(const rte_mbuf& packet, const uint8_t* first, uint32_t length);
// CRC32c of the same, going on with `crc`, before the last complement.
uint32_t Crc32cSegments(const rte_mbuf& packet, const uint8_t* first, uint32_t length,
                        uint32_t crc = kCrc32cStart);

// Cuts off what is behind the first `length` bytes, as the padding of a short frame.
void CutTo(rte_mbuf& packet, uint32_t length);

inline void DropBehindFirstSegment(rte_mbuf& packet) {
  if (packet.next == nullptr) return;
  rte_pktmbuf_free(packet.next);
  packet.next = nullptr;
  packet.nb_segs = 1;
}

}  // namespace sluice
