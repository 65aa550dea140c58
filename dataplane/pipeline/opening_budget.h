// How many packets may open connections in a millisecond while a worker is behind: established connections
// keep a share of its queues and of its time, whatever a flood brings. Without a backlog there is no limit;
// with one the budget shrinks by a quarter a millisecond, but not below a quarter of all packets, so that new
// clients get in too, and grows again when the backlog is gone.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice {

class OpeningBudget {
 public:
  static constexpr uint32_t kUnlimited = UINT32_MAX;
  static constexpr uint32_t kLeast = 64;
  static constexpr uint64_t kIntervalNs = 1'000'000;

  // The worker has taken a burst from a queue: a full one says that more may wait there.
  void NoteBurst(uint32_t packets, bool is_full) {
    packets_ += packets;
    ++bursts_;
    full_bursts_ += is_full;
  }
  // Between rounds. Returns whether an interval has ended.
  bool Tick(uint64_t now_ns) {
    if (now_ns - begun_at_ns_ < kIntervalNs) return false;
    begun_at_ns_ = now_ns;
    const bool is_behind = bursts_ >= kFewBursts && full_bursts_ == bursts_;
    if (is_behind) {
      allowed_ = std::max({kLeast, packets_ / 4, std::min(allowed_, taken_) / 4 * 3});
    } else if (allowed_ != kUnlimited) {
      allowed_ = allowed_ < kMuch ? allowed_ + allowed_ / 8 : kUnlimited;
    }
    packets_ = bursts_ = full_bursts_ = taken_ = 0;
    return true;
  }
  // Returns false if one more is too many.
  bool Take() {
    if (IsExhausted()) return false;
    ++taken_;
    return true;
  }
  bool IsExhausted() const { return taken_ >= allowed_; }
  uint32_t allowed() const { return allowed_; }

 private:
  static constexpr uint32_t kFewBursts = 4;
  static constexpr uint32_t kMuch = 1 << 14;

  uint64_t begun_at_ns_ = 0;
  uint32_t packets_ = 0;
  uint32_t bursts_ = 0;
  uint32_t full_bursts_ = 0;
  uint32_t taken_ = 0;
  uint32_t allowed_ = kUnlimited;
};

}  // namespace sluice
