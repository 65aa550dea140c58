// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/timer_wheel.h"

namespace sluice {

TimerWheel::TimerWheel(uint32_t capacity, Jiffies now)
    : links_(size_t{capacity} + 1, Pages::kAtOnce), firsts_(kSlotCount, Pages::kAtOnce), tick_(now / kJiffiesPerSlot) {}

Jiffies TimerWheel::File(uint32_t index, Jiffies deadline) {
  // Not before the deadline: the tick that begins after it. Jiffies wrap at a multiple of the slot, ticks
  // with them.
  const Jiffies base = tick_ * kJiffiesPerSlot;
  const int32_t distance = static_cast<int32_t>(deadline - base);
  uint32_t ticks =
      distance <= 0 ? 1 : (static_cast<uint32_t>(distance) + kJiffiesPerSlot - 1) / kJiffiesPerSlot;
  if (ticks == 0) ticks = 1;
  if (ticks >= kSlotCount) ticks = kSlotCount - 1;
  const uint32_t slot = (tick_ + ticks) % kSlotCount;
  const uint32_t first = firsts_[slot];
  links_[index] = {first, kFirstOfSlot | slot};
  if (first != 0) links_[first].previous = index;
  firsts_[slot] = index;
  return base + ticks * kJiffiesPerSlot;
}

void TimerWheel::Unfile(uint32_t index) {
  const Link link = links_[index];
  if (link.previous & kFirstOfSlot) {
    firsts_[link.previous & ~kFirstOfSlot] = link.next;
  } else {
    links_[link.previous].next = link.next;
  }
  if (link.next != 0) links_[link.next].previous = link.previous;
}

int TimerWheel::TakeDue(Jiffies now, uint32_t* indices, int limit) {
  int taken = 0;
  // tick_ counts modulo 2^28, as jiffies divided by the slot do.
  while (static_cast<int32_t>(now - tick_ * kJiffiesPerSlot) >= 0) {
    uint32_t& first = firsts_[tick_ % kSlotCount];
    while (first != 0 && taken < limit) {
      indices[taken++] = first;
      first = links_[first].next;
    }
    if (first != 0) {
      links_[first].previous = kFirstOfSlot | (tick_ % kSlotCount);
      return taken;
    }
    if (taken == limit) return taken;
    ++tick_;
  }
  return taken;
}

}  // namespace sluice
