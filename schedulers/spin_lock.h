// A lock for the few instructions that a scheduler's memory takes: workers have cores of their own and must
// not sleep.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <emmintrin.h>

#include <atomic>

namespace sluice {

class SpinLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) {
      while (taken_.load(std::memory_order_relaxed)) _mm_pause();
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

}  // namespace sluice
