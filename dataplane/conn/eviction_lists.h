// Connections that go first when the table is full, the oldest first, in a list for each reason. Which one a
// connection is in, if any, its flags say.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/net/huge_array.h"

namespace sluice {

enum class EvictionList : uint8_t {
  kClosed,      // both sides are done with it
  kUnanswered,  // the client alone has spoken, or the two have yet to agree
};
inline constexpr uint32_t kEvictionLists = 2;

class EvictionLists {
 public:
  // Indices 1..capacity may be in one of them.
  explicit EvictionLists(uint32_t capacity)
      : capacity_(capacity), links_(size_t{capacity} + 1 + kEvictionLists, Pages::kAtOnce) {
    for (uint32_t list = 0; list < kEvictionLists; ++list) {
      const uint32_t head = capacity + 1 + list;
      links_[head] = {.older = head, .younger = head};
    }
  }

  uint32_t size(EvictionList list) const { return sizes_[static_cast<size_t>(list)]; }
  // 0: there is none.
  uint32_t oldest(EvictionList list) const { return IndexOrNone(links_[HeadOf(list)].younger); }
  // 0: none. REQUIRES: `index` is in a list.
  uint32_t NextYounger(uint32_t index) const { return IndexOrNone(links_[index].younger); }

  // REQUIRES: `index` is in none.
  void Add(EvictionList list, uint32_t index) {
    const uint32_t head = HeadOf(list);
    const uint32_t second = links_[head].older;
    links_[index] = {.older = second, .younger = head};
    links_[second].younger = index;
    links_[head].older = index;
    ++sizes_[static_cast<size_t>(list)];
  }
  // REQUIRES: `index` is in it.
  void Remove(EvictionList list, uint32_t index) {
    const Link link = links_[index];
    links_[link.older].younger = link.younger;
    links_[link.younger].older = link.older;
    --sizes_[static_cast<size_t>(list)];
  }

  void Prefetch(uint32_t index) const { __builtin_prefetch(&links_[index], 1); }

 private:
  struct Link {
    uint32_t older;
    uint32_t younger;
  };
  uint32_t HeadOf(EvictionList list) const { return capacity_ + 1 + static_cast<uint32_t>(list); }
  uint32_t IndexOrNone(uint32_t index) const { return index > capacity_ ? 0 : index; }

  const uint32_t capacity_;
  HugeArray<Link> links_;  // rings through the heads, which are behind the connections'
  std::array<uint32_t, kEvictionLists> sizes_{};
};

}  // namespace sluice
