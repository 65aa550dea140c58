// When something that keeps failing may be tried again: at once, then after a tenth of a second, and longer
// each time up to half a minute, never as long as others wait. A minute without a try makes it as at first.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace sluice {

class Backoff {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kFirst{100}, kLongest{30'000};
  static constexpr std::chrono::minutes kForgotten{1};

  bool IsDue(Clock::time_point now) const { return now >= next_; }
  void Tried(Clock::time_point now) {
    if (now - tried_ > kForgotten) delay_ = kFirst;
    tried_ = now;
    const auto jitter = std::chrono::milliseconds(random_() % static_cast<uint64_t>(delay_.count() / 2 + 1));
    next_ = now + delay_ + jitter;
    delay_ = std::min(delay_ * 2, kLongest);
  }
  void Reset() {
    delay_ = kFirst;
    next_ = {};
  }

 private:
  std::chrono::milliseconds delay_ = kFirst;
  Clock::time_point tried_{};
  Clock::time_point next_{};
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace sluice
