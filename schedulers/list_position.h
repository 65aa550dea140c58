// Where a walk along a service's list stands: the last choice, by its ordinal, and its index as a hint where
// to find it. Ordinals only grow and new destinations come first in the list, so "behind this one" keeps its
// meaning when destinations come and go, as the kernel's list pointer does.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "schedulers/scheduler.h"

namespace sluice {

struct alignas(8) ListPosition {
  uint32_t ordinal;
  uint32_t index;

  friend bool operator==(const ListPosition&, const ListPosition&) = default;
};
inline constexpr ListPosition kBeforeTheFirst = {UINT32_MAX, 0};

inline bool IsAt(ListPosition last, std::span<const Candidate> candidates) {
  return last.index < candidates.size() && candidates[last.index].ordinal == last.ordinal;
}

// The index of the first candidate behind it. List order is descending by ordinal.
inline size_t FirstBehind(ListPosition last, std::span<const Candidate> candidates) {
  if (IsAt(last, candidates)) return last.index + 1;
  const auto found = std::partition_point(candidates.begin(), candidates.end(),
                                          [&](const Candidate& c) { return c.ordinal >= last.ordinal; });
  return static_cast<size_t>(found - candidates.begin());
}

}  // namespace sluice
