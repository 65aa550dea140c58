// Time for workers, read once a round: the time-stamp counter scaled to nanoseconds since the start of the
// clock, without a system call or a division.
// Threads: a value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_cycles.h>

#include <cstdint>

#include "dataplane/conn/jiffies.h"

namespace sluice {

class Clock {
 public:
  Clock() : start_(rte_rdtsc()), scale_((uint64_t{1'000'000'000} << kShift) / rte_get_tsc_hz()) {}

  uint64_t Nanoseconds() const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(rte_rdtsc() - start_) * scale_ >> kShift);
  }
  static Jiffies ToJiffies(uint64_t nanoseconds) { return JiffiesFromNanoseconds(nanoseconds); }

 private:
  static constexpr int kShift = 24;
  uint64_t start_;
  uint64_t scale_;
};

}  // namespace sluice
