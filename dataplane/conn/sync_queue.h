// Updates on their way from a worker to whoever sends them. When it is full the oldest make room: what came
// later says more.
// Threads: Push by the worker; Pop and lost by one other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstring>
#include <memory>

#include "dataplane/conn/sync_update.h"

namespace sluice {

class SyncQueue {
 public:
  // A power of two.
  explicit SyncQueue(uint64_t capacity) : mask_(capacity - 1), slots_(new Slot[capacity]) {}

  void Push(const SyncUpdate& update) {
    const uint64_t count = pushed_.load(std::memory_order_relaxed);
    Slot& slot = slots_[count & mask_];
    uint64_t words[kWords] = {};
    std::memcpy(words, &update, sizeof update);
    // Whoever reads one of these sees that the slot's last update is gone.
    for (int i = 0; i < kWords; ++i) slot[i].store(words[i], std::memory_order_release);
    pushed_.store(count + 1, std::memory_order_release);
  }

  // False: there is none.
  bool Pop(SyncUpdate& update) {
    while (true) {
      const uint64_t pushed = pushed_.load(std::memory_order_acquire);
      if (popped_ == pushed) return false;
      Skip(pushed);
      uint64_t words[kWords];
      const Slot& slot = slots_[popped_ & mask_];
      for (int i = 0; i < kWords; ++i) words[i] = slot[i].load(std::memory_order_acquire);
      // The one that is being written now may be in this slot.
      if (pushed_.load(std::memory_order_relaxed) - popped_ > mask_) continue;
      std::memcpy(&update, words, sizeof update);
      ++popped_;
      return true;
    }
  }
  // How many made room.
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  static constexpr int kWords = (sizeof(SyncUpdate) + 7) / 8;
  using Slot = std::array<std::atomic<uint64_t>, kWords>;

  void Skip(uint64_t pushed) {
    if (pushed - popped_ <= mask_) return;
    const uint64_t oldest = pushed - mask_;
    lost_.store(lost_.load(std::memory_order_relaxed) + (oldest - popped_), std::memory_order_relaxed);
    popped_ = oldest;
  }

  const uint64_t mask_;
  const std::unique_ptr<Slot[]> slots_;
  std::atomic<uint64_t> pushed_{0};
  uint64_t popped_ = 0;
  std::atomic<uint64_t> lost_{0};
};

}  // namespace sluice
