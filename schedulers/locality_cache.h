// What lblc and lblcr remember: for every virtual address something about the destinations it went to.
// Entries that nobody asks for are dropped, as the kernel does it once a minute.
// Threads: the caller's lock.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <unordered_map>

#include "schedulers/hash.h"
#include "schedulers/scheduler.h"

namespace sluice {

using SchedulerClock = std::chrono::steady_clock;

template <class Entry>
class LocalityCache {
 public:
  // nullptr: none. What is found counts as used.
  Entry* Find(const IpAddress& address, SchedulerClock::time_point now) {
    const auto found = entries_.find(address);
    if (found == entries_.end()) return nullptr;
    found->second.used = now;
    return &found->second.entry;
  }

  // The same, but it does not count as used.
  const Entry* Peek(const IpAddress& address) const {
    const auto found = entries_.find(address);
    return found == entries_.end() ? nullptr : &found->second.entry;
  }

  // nullptr: there are too many, and the choice is not remembered.
  Entry* Add(const IpAddress& address, SchedulerClock::time_point now) {
    if (entries_.size() >= kMostEntries) return nullptr;
    return &entries_.insert_or_assign(address, Used{{}, now}).first->second.entry;
  }

  // Does what is due of the kernel's housekeeping.
  void Tick(SchedulerClock::time_point now, std::chrono::seconds expiration) {
    if (next_tick_ == SchedulerClock::time_point{}) next_tick_ = now + kTick;
    for (; now >= next_tick_; next_tick_ += kTick) {
      if (ticks_ % kTicksToFullScan == 0) {
        ticks_ = 1;
        DropIdle(now, expiration, entries_.size());
      } else if (entries_.size() <= kGoodEntries) {
        ++ticks_;
      } else {
        DropIdle(now, kIdleWhenFull, std::min((entries_.size() - kGoodEntries) * 4 / 3, kGoodEntries / 2));
      }
    }
  }

  size_t size() const { return entries_.size(); }

 private:
  static constexpr size_t kGoodEntries = 16384;
  static constexpr size_t kMostEntries = kGoodEntries * 3 / 2;
  static constexpr int kTicksToFullScan = 30;
  static constexpr std::chrono::seconds kTick{60};
  static constexpr std::chrono::seconds kIdleWhenFull{360};

  struct Used {
    Entry entry;
    SchedulerClock::time_point used;
  };

  void DropIdle(SchedulerClock::time_point now, std::chrono::seconds idle, size_t most) {
    for (auto at = entries_.begin(); at != entries_.end() && most > 0;) {
      if (now - at->second.used < idle) {
        ++at;
        continue;
      }
      at = entries_.erase(at);
      --most;
    }
  }

  std::unordered_map<IpAddress, Used, IpAddressHash> entries_;
  SchedulerClock::time_point next_tick_{};
  int ticks_ = 1;
};

// A destination as it is remembered. One that was removed and comes back is the same as before, in another
// place.
struct RememberedDestination {
  uint32_t ordinal = 0;
  DestinationId id = kNoDestination;

  friend bool operator==(const RememberedDestination&, const RememberedDestination&) = default;
};

// Its index, or kNoCandidate if it has gone. List order is descending by ordinal.
inline int FindRemembered(const RememberedDestination& destination, std::span<const Candidate> candidates) {
  const auto found = std::partition_point(candidates.begin(), candidates.end(), [&](const Candidate& c) {
    return c.ordinal > destination.ordinal;
  });
  if (found != candidates.end() && found->ordinal == destination.ordinal) {
    return static_cast<int>(found - candidates.begin());
  }
  const auto back = std::find_if(candidates.begin(), candidates.end(),
                                 [&](const Candidate& c) { return c.id == destination.id; });
  return back == candidates.end() ? kNoCandidate : static_cast<int>(back - candidates.begin());
}

// More active connections than its weight, while another has less than half as many as its own.
inline bool IsOvertaxed(const Candidate& candidate, std::span<const Candidate> candidates) {
  if (candidate.load->Active() <= candidate.weight) return false;
  return std::any_of(candidates.begin(), candidates.end(),
                     [](const Candidate& other) { return int64_t{other.load->Active()} * 2 < other.weight; });
}

}  // namespace sluice
