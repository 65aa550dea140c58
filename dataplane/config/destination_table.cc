// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/destination_table.h"

#include <bit>

namespace sluice {

DestinationId DestinationTable::Allocate(DestinationId near) {
  DestinationId id = kNoDestination;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (End() < kMaxDestinations) {
    id = next_unused_.fetch_add(1, std::memory_order_relaxed);
  }
  if (id == kNoDestination) return id;
  ++lives_[id];
  DestinationLoad& load = loads_[id];
  load.place = TakePlace(near);
  load.upper.store(0, std::memory_order_relaxed);
  load.watched.store(false, std::memory_order_relaxed);
  GroupOf(load).SetOverloaded(BitOf(load), false);
  return id;
}

void DestinationTable::Free(DestinationId id) {
  const uint32_t group = loads_[id].place / LoadGroup::kSize;
  group_members_[group] &= ~(uint32_t{1} << BitOf(loads_[id]));
  if (group_members_[group] == 0) free_groups_.push_back(group);
  free_.push_back(id);
}

// Behind its elder neighbour's, so that places are in the order of the list as far as possible.
uint32_t DestinationTable::TakePlace(DestinationId near) {
  uint32_t bit = 0;
  uint32_t group = 0;
  uint32_t room = 0;
  if (near != kNoDestination) {
    group = loads_[near].place / LoadGroup::kSize;
    room = ~group_members_[group] & ~uint32_t{1} << BitOf(loads_[near]);
  }
  if (room != 0) {
    bit = static_cast<uint32_t>(std::countr_zero(room));
  } else if (!free_groups_.empty()) {
    group = free_groups_.back();
    free_groups_.pop_back();
  } else {
    group = next_group_++;
  }
  group_members_[group] |= uint32_t{1} << bit;
  return group * LoadGroup::kSize + bit;
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

void DestinationTable::AddConnection(DestinationId id, bool active) {
  DestinationLoad& load = loads_[id];
  const uint64_t more = DestinationLoad::kOne + (active ? DestinationLoad::kOneActive : 0);
  const int32_t total = DestinationLoad::CountsOf(load.connections.fetch_add(more) + more).total;
  const int32_t upper = load.upper.load(std::memory_order_relaxed);
  if (upper != 0 && total >= upper) Settle(load);
  NoteChange(load);
}

void DestinationTable::RemoveConnection(DestinationId id, bool active) {
  DestinationLoad& load = loads_[id];
  const uint64_t less = DestinationLoad::kOne + (active ? DestinationLoad::kOneActive : 0);
  const int32_t total = DestinationLoad::CountsOf(load.connections.fetch_sub(less) - less).total;
  if (load.upper.load(std::memory_order_relaxed) != 0 && total < load.lower.load(std::memory_order_relaxed))
    Settle(load);
  NoteChange(load);
}

void DestinationTable::SetThresholds(DestinationId id, uint32_t upper, uint32_t lower) {
  DestinationLoad& load = loads_[id];
  load.lower.store(static_cast<int32_t>(lower != 0 ? lower : upper - upper / 4), std::memory_order_relaxed);
  load.upper.store(static_cast<int32_t>(upper));
  Settle(load);
  NoteChange(load);
}

// Between the thresholds the flag stays as it is. Another worker may have gone past the other threshold while
// this one wrote: hence the second look.
void DestinationTable::Settle(DestinationLoad& load) {
  LoadGroup& group = GroupOf(load);
  for (;;) {
    const int32_t total = DestinationLoad::CountsOf(load.connections.load()).total;
    const int32_t upper = load.upper.load(std::memory_order_relaxed);
    const bool is = group.IsOverloaded(BitOf(load));
    const bool keeps = is && total >= load.lower.load(std::memory_order_relaxed);
    const bool should = upper != 0 && (total >= upper || keeps);
    if (is == should) return;
    group.SetOverloaded(BitOf(load), should);
  }
}

}  // namespace sluice
