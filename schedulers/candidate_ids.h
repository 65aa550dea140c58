// Where a service's destinations are in its list, by their ids: for schedulers that remember destinations.
// One that was removed and comes back has its id again.
// Threads: made with the scheduler; any number ask at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/scheduler.h"

namespace sluice {

class CandidateIds {
 public:
  explicit CandidateIds(std::span<const Candidate> candidates)
      : slots_(std::bit_ceil(candidates.size() * 2 + 1), {kNoDestination, kNoCandidate}) {
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      size_t at = PlaceOf(candidates[i].id);
      while (slots_[at].id != kNoDestination) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {candidates[i].id, i};
    }
  }

  // The candidate's index, or kNoCandidate.
  int Find(DestinationId id) const {
    size_t at = PlaceOf(id);
    while (slots_[at].id != id && slots_[at].id != kNoDestination) at = (at + 1) & (slots_.size() - 1);
    return slots_[at].index;
  }

 private:
  struct Slot {
    DestinationId id;
    int index;
  };

  size_t PlaceOf(DestinationId id) const { return id * 0x9e3779b97f4a7c15u >> 32 & (slots_.size() - 1); }

  std::vector<Slot> slots_;  // at least half of them are empty
};

}  // namespace sluice
