// How IPVS weighs the load of a destination, and the searches that several schedulers share.
// Threads: pure functions of atomics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "schedulers/scheduler.h"

namespace sluice {

// The kernel's "overhead": an active connection counts 256 times as much as an inactive one, and all count
// once more (6.1.192 and 6.12; older kernels leave the active ones out of that).
inline int64_t Overhead(const Candidate& candidate) {
  return int64_t{candidate.load->Active()} * 256 + candidate.load->Total();
}

// The connections a destination would serve with one more.
inline int64_t ExpectedActive(const Candidate& candidate) { return int64_t{candidate.load->Active()} + 1; }

// The usable candidate with the least load for its weight, the first of equals. The quotients are compared
// without a division.
template <class Load>
int LeastLoaded(std::span<const Candidate> candidates, Load load) {
  int best = kNoCandidate;
  int64_t best_load = 0;
  int64_t best_weight = 0;
  for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
    const Candidate& candidate = candidates[i];
    if (!candidate.CanAccept()) continue;
    const int64_t its_load = load(candidate);
    if (best != kNoCandidate && best_load * candidate.weight <= its_load * best_weight) continue;
    best = i;
    best_load = its_load;
    best_weight = candidate.weight;
  }
  return best;
}

}  // namespace sluice
