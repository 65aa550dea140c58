// What lives longer than a snapshot about each destination: its load, and whether it still is in a
// service. Indexed by DestinationId.
// Threads: Allocate, Free and SetAvailable on the control thread only; the rest anywhere. An id may be freed
// when no connection has it and no snapshot in use names it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/net/huge_array.h"
#include "schedulers/scheduler.h"

namespace sluice {

// 50,000 services with 20 destinations each.
inline constexpr uint32_t kMaxDestinations = 1 << 20;

class DestinationTable {
 public:
  DestinationTable()
      : loads_(kMaxDestinations),
        thresholds_(kMaxDestinations),
        lives_(kMaxDestinations),
        available_(kMaxDestinations / 64) {}

  // kNoDestination when all are in use.
  DestinationId Allocate();
  void Free(DestinationId id) { free_.push_back(id); }
  size_t FreeCount() const { return kMaxDestinations - End() + free_.size(); }
  // One past the highest id ever used.
  DestinationId End() const { return next_unused_.load(std::memory_order_relaxed); }

  DestinationLoad& load(DestinationId id) { return loads_[id]; }
  const DestinationLoad& load(DestinationId id) const { return loads_[id]; }
  // Tells one use of an id from the next; statistics are kept per life.
  uint32_t life(DestinationId id) const { return lives_[id]; }

  // A destination that was deleted is not available: packets of its connections are dropped.
  bool IsAvailable(DestinationId id) const {
    return available_[id / 64].load(std::memory_order_relaxed) >> (id % 64) & 1;
  }
  void SetAvailable(DestinationId id, bool available);

  // A connection came or went; inactive ones count, too. The overload flag follows.
  void AddConnection(DestinationId id);
  void RemoveConnection(DestinationId id, bool active);
  void SetThresholds(DestinationId id, uint32_t upper, uint32_t lower);

 private:
  // How many connections make a destination overloaded, and below how many it no longer is.
  struct Thresholds {
    std::atomic<int32_t> upper;
    std::atomic<int32_t> lower;
  };

  HugeArray<DestinationLoad> loads_;
  HugeArray<Thresholds> thresholds_;
  HugeArray<uint32_t> lives_;
  HugeArray<std::atomic<uint64_t>> available_;  // a bit each: thousands fit into the first-level cache
  std::atomic<uint32_t> next_unused_{kNoDestination + 1};
  std::vector<DestinationId> free_;
};

}  // namespace sluice
