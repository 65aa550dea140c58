// How busy a worker is.
// Threads: written by its worker every round, read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

struct alignas(64) WorkerLoad {
  std::atomic<uint64_t> rounds{0};
  std::atomic<uint64_t> bursts{0};            // of one packet or more
  std::atomic<uint64_t> busy_nanoseconds{0};  // in rounds that found something to do
  std::atomic<uint64_t> last_round{0};        // when it began, by the data path's clock, in nanoseconds
  std::atomic<uint32_t> timer_lag{0};         // jiffies

  // One writer needs no locked instruction.
  static void Add(std::atomic<uint64_t>& to, uint64_t amount) {
    to.store(to.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
};

}  // namespace sluice
