// Lets so many a second through, and a second's worth at once.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

#include "absl/base/thread_annotations.h"
#include "control/mutex.h"

namespace sluice {

class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RateLimit(double per_second) : per_second_(per_second), left_(per_second) {}

  bool Admits(Clock::time_point now) {
    const MutexLock lock(mutex_);
    const double passed = std::chrono::duration<double>(now - last_).count();
    left_ = std::min(per_second_, left_ + std::max(0.0, passed) * per_second_);
    last_ = std::max(last_, now);
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  const double per_second_;
  Mutex mutex_;
  double left_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point last_ ABSL_GUARDED_BY(mutex_) = Clock::now();
};

}  // namespace sluice
