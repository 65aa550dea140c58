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

}  // namespace sluice
