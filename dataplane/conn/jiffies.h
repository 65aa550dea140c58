// The clock of connections: 4 ms steps in 32 bits, as in a kernel with HZ=250. It wraps after 198 days;
// times are compared by their difference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

using Jiffies = uint32_t;

inline constexpr Jiffies kJiffiesPerSecond = 250;

constexpr Jiffies JiffiesFromSeconds(uint32_t seconds) { return seconds * kJiffiesPerSecond; }
constexpr Jiffies JiffiesFromNanoseconds(uint64_t ns) {
  return static_cast<Jiffies>(ns / (1'000'000'000 / kJiffiesPerSecond));
}

// True at `deadline` and for 99 days after it.
constexpr bool HasPassed(Jiffies deadline, Jiffies now) { return static_cast<int32_t>(now - deadline) >= 0; }

}  // namespace sluice
