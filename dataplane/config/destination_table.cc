// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/destination_table.h"

namespace sluice {

DestinationId DestinationTable::Allocate() {
  DestinationId id = kNoDestination;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (End() < kMaxDestinations) {
    id = next_unused_.fetch_add(1, std::memory_order_relaxed);
  }
  if (id != kNoDestination) ++lives_[id];
  return id;
}

void DestinationTable::SetAvailable(DestinationId id, bool available) {
  const uint64_t bit = uint64_t{1} << (id % 64);
  if (available) {
    available_[id / 64].fetch_or(bit, std::memory_order_relaxed);
  } else {
    available_[id / 64].fetch_and(~bit, std::memory_order_relaxed);
  }
}

void DestinationTable::AddConnection(DestinationId id) {
  DestinationLoad& load = loads_[id];
  const int32_t total = load.total.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!load.has_thresholds.load(std::memory_order_relaxed)) return;
  if (total >= thresholds_[id].upper.load(std::memory_order_relaxed)) {
    load.overloaded.store(true, std::memory_order_relaxed);
  }
}

void DestinationTable::RemoveConnection(DestinationId id, bool active) {
  DestinationLoad& load = loads_[id];
  const int32_t total = load.total.fetch_sub(1, std::memory_order_relaxed) - 1;
  if (active) load.active.fetch_sub(1, std::memory_order_relaxed);
  if (!load.has_thresholds.load(std::memory_order_relaxed)) return;
  if (total < thresholds_[id].lower.load(std::memory_order_relaxed)) {
    load.overloaded.store(false, std::memory_order_relaxed);
  }
}

// Between the thresholds the flag stays as it is.
void DestinationTable::SetThresholds(DestinationId id, uint32_t upper, uint32_t lower) {
  DestinationLoad& load = loads_[id];
  if (upper == 0) {
    load.has_thresholds.store(false, std::memory_order_relaxed);
    load.overloaded.store(false, std::memory_order_relaxed);
    return;
  }
  const auto full = static_cast<int32_t>(upper);
  const auto free_again = static_cast<int32_t>(lower != 0 ? lower : upper - upper / 4);
  thresholds_[id].upper.store(full, std::memory_order_relaxed);
  thresholds_[id].lower.store(free_again, std::memory_order_relaxed);
  load.has_thresholds.store(true, std::memory_order_relaxed);
  if (load.Total() >= full) {
    load.overloaded.store(true, std::memory_order_relaxed);
  } else if (load.Total() < free_again) {
    load.overloaded.store(false, std::memory_order_relaxed);
  }
}

}  // namespace sluice
