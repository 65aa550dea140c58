// What Parse looks at behind the IP headers.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/parse_ip.h"

namespace sluice {

bool ParseSctp(Worker& worker, Batch& batch, int lane, const TransportBytes& bytes) {
  constexpr uint32_t kFirstChunk = sizeof(SctpHeader);
  if (bytes.contiguous < kFirstChunk + sizeof(SctpChunkHeader)) {
    Drop(worker, batch, lane, Counter::kDropSctpTruncated);
    return false;
  }
  const auto& first = *reinterpret_cast<const SctpChunkHeader*>(bytes.start + kFirstChunk);
  const uint32_t next_at = kFirstChunk + ((first.length.ToHost() + 3u) & ~3u);
  const bool has_next =
      first.length.ToHost() >= sizeof first && next_at + sizeof(SctpChunkHeader) <= bytes.contiguous;
  batch.signal[lane] = SctpEventOf(first.type, has_next ? bytes.start[next_at] : uint8_t{0});
  if (batch.signal[lane] == kSctpEventInit) batch.opening |= LaneBit(lane);
  return true;
}

std::optional<FragmentTable::Ports> PortsOfLaterFragment(Worker& worker, Batch& batch, int lane,
                                                         const FragmentTable::Key& key) {
  rte_mbuf* packet = batch.packet[lane];
  if (batch.from_peer) {
    return FragmentTable::Ports{{static_cast<uint16_t>(packet->hash.usr)},
                                {static_cast<uint16_t>(packet->hash.usr >> 16)}};
  }
  const std::optional<FragmentTable::Ports> ports = worker.fragments.Find(key, worker.now);
  if (ports) return ports;
  if (worker.fragments.Hold(key, packet, worker.now)) {
    batch.verdict[lane] = Verdict::kHeld;
    if (const int evicted = worker.fragments.TakeEvicted(); evicted > 0)
      worker.counters.Add(Counter::kFragmentsEvicted, static_cast<uint64_t>(evicted));
  } else {
    Drop(worker, batch, lane, Counter::kDropFragmentsFull);
  }
  return std::nullopt;
}

}  // namespace sluice
