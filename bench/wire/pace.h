// When the next ones are due.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "bench/wire/flows.h"

namespace sluice {

class Pace {
 public:
  explicit Pace(double rate)
      : nanoseconds_each_(rate == 0 ? 0 : 1e9 / rate), due_(double(WireNanoseconds())) {}

  // How many are due, at most `limit`. Who was late for more than a tenth of a second does not catch up.
  int Due(int limit) {
    if (nanoseconds_each_ == 0) return limit;
    constexpr double kMostLate = 1e8;
    const auto now = static_cast<double>(WireNanoseconds());
    due_ = std::max(due_, now - kMostLate);
    const int count = std::clamp(static_cast<int>((now - due_) / nanoseconds_each_), 0, limit);
    due_ += count * nanoseconds_each_;
    return count;
  }
  // A nap until the next is due, but not for less than a tenth of a millisecond: some may be due then.
  void Wait() const {
    constexpr double kLeast = 100'000;
    const double left = due_ + nanoseconds_each_ - static_cast<double>(WireNanoseconds());
    const timespec nap = {0, static_cast<long>(std::clamp(left, kLeast, 1e8))};
    nanosleep(&nap, nullptr);
  }

 private:
  const double nanoseconds_each_;
  double due_;
};

}  // namespace sluice
