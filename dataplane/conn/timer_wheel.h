// Finds connections whose time may have come. A packet only writes its connection's deadline; the wheel
// looks at a connection when the deadline it was filed for is reached, and the caller files it again
// if the deadline has moved on. One list a slot; every connection is in exactly one.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/conn/jiffies.h"
#include "dataplane/net/huge_array.h"

namespace sluice {

class TimerWheel {
 public:
  // Indices 1..capacity may be filed.
  TimerWheel(uint32_t capacity, Jiffies now);

  // Returns the time at which it will be looked at: about `deadline`, or sooner if that is far away.
  // REQUIRES: `index` is not filed.
  Jiffies File(uint32_t index, Jiffies deadline);
  // REQUIRES: `index` is filed.
  void Unfile(uint32_t index);

  void Prefetch(uint32_t index) const { __builtin_prefetch(&links_[index], 1); }

  // Takes up to `limit` indices whose time has come by `now`; they are no longer filed. Fewer than `limit`
  // means that there are no more.
  int TakeDue(Jiffies now, uint32_t* indices, int limit);

  // All that was due before this has been taken.
  Jiffies LookedAtUntil() const { return tick_ * kJiffiesPerSlot; }

 private:
  static constexpr uint32_t kSlotCount = 16384;       // 1,048 s ahead
  static constexpr Jiffies kJiffiesPerSlot = 16;      // 64 ms
  static constexpr uint32_t kFirstOfSlot = 1u << 31;  // in `previous`: this is the slot's first

  struct Link {
    uint32_t next;
    uint32_t previous;
  };

  HugeArray<Link> links_;
  HugeArray<uint32_t> firsts_;  // 0: empty
  uint32_t tick_;               // the slot time looked at next
};

}  // namespace sluice
