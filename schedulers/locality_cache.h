// What lblc and lblcr remember: for every virtual address something about the destinations it went to.
// Entries that nobody asks for are dropped, as the kernel does it once a minute, but some at a time. All
// memory comes at construction, and no function's work grows with what is remembered.
// Threads: the caller's lock.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dataplane/net/flow_hash.h"
#include "schedulers/scheduler.h"

namespace sluice {

using SchedulerClock = std::chrono::steady_clock;

template <class Entry>
class LocalityCache {
 public:
  // The kernel's limit.
  static constexpr uint32_t kGoodEntries = 16384;
  static constexpr uint32_t kMostEntries = kGoodEntries * 3 / 2;

  explicit LocalityCache(uint32_t addresses)
      : slots_(std::min(addresses, kMostEntries) + size_t{1}), heads_(std::bit_ceil(slots_.size())) {}

  // nullptr: none. What is found counts as used.
  Entry* Find(const IpAddress& address, SchedulerClock::time_point now) {
    const uint32_t found = Search(address);
    if (found == 0) return nullptr;
    if (IsOver(slots_[found])) {
      Remove(found);
      return nullptr;
    }
    slots_[found].used = now;
    return &slots_[found].entry;
  }

  // The same, but it does not count as used.
  const Entry* Peek(const IpAddress& address) const {
    const uint32_t found = Search(address);
    return found == 0 || IsOver(slots_[found]) ? nullptr : &slots_[found].entry;
  }

  // nullptr: there are too many, and the choice is not remembered. REQUIRES: Find does not find it.
  Entry* Add(const IpAddress& address, SchedulerClock::time_point now) {
    uint32_t slot = free_;
    if (slot != 0) {
      free_ = slots_[slot].next;
    } else if (next_unused_ < slots_.size()) {
      slot = next_unused_++;
    } else {
      return nullptr;
    }
    uint32_t& head = heads_[HashOf(address)];
    slots_[slot] = {.address = address, .used = now, .next = head, .in_use = true};
    head = slot;
    ++size_;
    return &slots_[slot].entry;
  }

  // Does what is due of the kernel's housekeeping: a bounded part of it.
  void Tick(SchedulerClock::time_point now, std::chrono::seconds expiration) {
    if (next_tick_ == SchedulerClock::time_point{}) next_tick_ = now + kTick;
    if (now >= next_tick_) Plan(now, expiration);
    for (int i = 0; i < kAtOnce && left_ > 0; ++i, --left_) {
      if (++rover_ >= next_unused_) rover_ = 1;
      const Slot& slot = slots_[rover_];
      if (!slot.in_use) continue;
      const bool makes_room = room_wanted_ > 0 && slot.used <= idle_since_;
      if (!makes_room && !IsOver(slot)) continue;
      Remove(rover_);
      if (makes_room) --room_wanted_;
    }
  }

  size_t size() const { return size_; }

 private:
  static constexpr int64_t kTicksToFullScan = 30;
  static constexpr std::chrono::seconds kTick{60};
  static constexpr std::chrono::seconds kIdleWhenFull{360};
  static constexpr int kAtOnce = 16;

  struct Slot {
    IpAddress address;
    Entry entry = {};
    SchedulerClock::time_point used;
    uint32_t next = 0;  // of its chain, or free
    bool in_use = false;
  };

  // Every thirtieth minute all that is idle for long goes; in the others, if there are many, some that are
  // idle.
  void Plan(SchedulerClock::time_point now, std::chrono::seconds expiration) {
    const int64_t due = (now - next_tick_) / kTick + 1;
    next_tick_ += due * kTick;
    left_ = next_unused_;
    if (size_ > kGoodEntries && ticks_ < kTicksToFullScan) {
      room_wanted_ = std::min((size_ - kGoodEntries) * 4 / 3, kGoodEntries / 2);
      idle_since_ = now - kIdleWhenFull;
      return;
    }
    ticks_ += due;
    if (ticks_ > kTicksToFullScan) over_since_ = now - expiration;
    ticks_ = (ticks_ - 1) % kTicksToFullScan + 1;
  }

  // A full scan would have dropped it.
  bool IsOver(const Slot& slot) const { return slot.used <= over_since_; }

  uint32_t Search(const IpAddress& address) const {
    uint32_t slot = heads_[HashOf(address)];
    while (slot != 0 && !(slots_[slot].address == address)) slot = slots_[slot].next;
    return slot;
  }

  void Remove(uint32_t slot) {
    uint32_t* link = &heads_[HashOf(slots_[slot].address)];
    while (*link != slot) link = &slots_[*link].next;
    *link = slots_[slot].next;
    slots_[slot].in_use = false;
    slots_[slot].next = free_;
    free_ = slot;
    --size_;
  }

  // With a secret: of a mark's services clients choose the address.
  size_t HashOf(const IpAddress& address) const {
    uint64_t words[2];
    std::memcpy(words, address.bytes.data(), sizeof words);
    return FoldedMultiply(words[0] ^ secret_.words[0], words[1] ^ secret_.words[1]) & (heads_.size() - 1);
  }

  const HashSecret secret_ = HashSecret::Random();
  std::vector<Slot> slots_;      // [0] is nobody
  std::vector<uint32_t> heads_;  // of chains
  uint32_t free_ = 0;
  uint32_t next_unused_ = 1;
  uint32_t size_ = 0;
  SchedulerClock::time_point next_tick_{};
  int64_t ticks_ = 1;
  SchedulerClock::time_point over_since_ = SchedulerClock::time_point::min();
  // Position of the scan that goes on.
  uint32_t left_ = 0;
  uint32_t rover_ = 0;
  uint32_t room_wanted_ = 0;
  SchedulerClock::time_point idle_since_{};
};

}  // namespace sluice
