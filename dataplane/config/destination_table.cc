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

void DestinationTable::SetTraits(DestinationId id, uint8_t set, uint8_t clear) {
  traits_[id].store(static_cast<uint8_t>((traits(id) & ~clear) | set), std::memory_order_relaxed);
}

TimeoutSpec DestinationTable::timeouts(DestinationId id) const {
  const Timeouts& timeouts = timeouts_[id];
  return {.tcp_seconds = timeouts.tcp.load(std::memory_order_relaxed),
          .tcp_fin_seconds = timeouts.tcp_fin.load(std::memory_order_relaxed),
          .udp_seconds = timeouts.udp.load(std::memory_order_relaxed)};
}

void DestinationTable::SetTimeouts(DestinationId id, const TimeoutSpec& timeouts) {
  timeouts_[id].tcp.store(timeouts.tcp_seconds, std::memory_order_relaxed);
  timeouts_[id].tcp_fin.store(timeouts.tcp_fin_seconds, std::memory_order_relaxed);
  timeouts_[id].udp.store(timeouts.udp_seconds, std::memory_order_relaxed);
}

void DestinationTable::AddConnection(DestinationId id) {
  DestinationLoad& load = loads_[id];
  const int32_t total = load.total.fetch_add(1, std::memory_order_relaxed) + 1;
  if (load.has_thresholds.load(std::memory_order_relaxed) &&
      total >= thresholds_[id].upper.load(std::memory_order_relaxed)) {
    load.overloaded.store(true, std::memory_order_relaxed);
  }
  NoteChange(id);
}

void DestinationTable::RemoveConnection(DestinationId id, bool active) {
  DestinationLoad& load = loads_[id];
  const int32_t total = load.total.fetch_sub(1, std::memory_order_relaxed) - 1;
  if (active) load.active.fetch_sub(1, std::memory_order_relaxed);
  if (load.has_thresholds.load(std::memory_order_relaxed) &&
      total < thresholds_[id].lower.load(std::memory_order_relaxed)) {
    load.overloaded.store(false, std::memory_order_relaxed);
  }
  NoteChange(id);
}

// Between the thresholds the flag stays as it is.
void DestinationTable::SetThresholds(DestinationId id, uint32_t upper, uint32_t lower) {
  DestinationLoad& load = loads_[id];
  if (upper == 0) {
    load.has_thresholds.store(false, std::memory_order_relaxed);
    load.overloaded.store(false, std::memory_order_relaxed);
    NoteChange(id);
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
  NoteChange(id);
}

}  // namespace sluice
