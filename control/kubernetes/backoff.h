// How long to wait before the next try: longer each time, and never as long as others wait.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <random>

namespace sluice::kubernetes {

class Backoff {
 public:
  std::chrono::milliseconds Next();
  void Reset() { delay_ = kFirst; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kFirst{800}, kLongest{30'000};
  static constexpr std::chrono::minutes kForgotten{2};
  std::chrono::milliseconds delay_ = kFirst;
  Clock::time_point last_{};
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace sluice::kubernetes
