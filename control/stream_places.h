// Places for the calls that stay open: each has a thread to itself, and threads must be left for the rest.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

class StreamPlaces {
 public:
  explicit StreamPlaces(uint32_t most) : most_(most) {}

  bool Take() {
    if (taken_.fetch_add(1) < most_) return true;
    taken_.fetch_sub(1);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  void GiveBack() { taken_.fetch_sub(1); }

  // Those who have a place leave it soon: the process ends.
  void End() { ends_ = true; }
  bool ends() const { return ends_; }

  uint32_t most() const { return most_; }
  uint32_t taken() const { return taken_; }
  uint64_t refused() const { return refused_; }

 private:
  const uint32_t most_;
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<bool> ends_{false};
};

}  // namespace sluice
