// Entries of a table that go first when it is full: in a list for each reason, the oldest first. Which list
// an entry is in, if any, the entry itself says.
// Threads: the caller's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/net/huge_array.h"

namespace sluice {

// List is an enum whose last value is kCount.
template <class List>
class AgeLists {
 public:
  // Indices 1..capacity may be in one of the lists.
  explicit AgeLists(uint32_t capacity)
      : capacity_(capacity), links_(size_t{capacity} + 1 + kLists, Pages::kAtOnce) {
    for (uint32_t head = capacity + 1; head <= capacity + kLists; ++head)
      links_[head] = {.older = head, .younger = head};
  }

  uint32_t size(List list) const { return sizes_[static_cast<size_t>(list)]; }
  // 0: there is none.
  uint32_t oldest(List list) const { return IndexOrNone(links_[HeadOf(list)].younger); }
  // 0: none. REQUIRES: `index` is in a list.
  uint32_t NextYounger(uint32_t index) const { return IndexOrNone(links_[index].younger); }

  // REQUIRES: `index` is in none.
  void Add(List list, uint32_t index) {
    const uint32_t head = HeadOf(list);
    const uint32_t second = links_[head].older;
    links_[index] = {.older = second, .younger = head};
    links_[second].younger = index;
    links_[head].older = index;
    ++sizes_[static_cast<size_t>(list)];
  }
  // REQUIRES: `index` is in `list`.
  void Remove(List list, uint32_t index) {
    const Link link = links_[index];
    links_[link.older].younger = link.younger;
    links_[link.younger].older = link.older;
    --sizes_[static_cast<size_t>(list)];
  }

  void Prefetch(uint32_t index) const { __builtin_prefetch(&links_[index], 1); }

 private:
  static constexpr uint32_t kLists = static_cast<uint32_t>(List::kCount);
  struct Link {
    uint32_t older;
    uint32_t younger;
  };
  uint32_t HeadOf(List list) const { return capacity_ + 1 + static_cast<uint32_t>(list); }
  uint32_t IndexOrNone(uint32_t index) const { return index > capacity_ ? 0 : index; }

  const uint32_t capacity_;
  HugeArray<Link> links_;  // rings through the heads, which are behind the entries'
  std::array<uint32_t, kLists> sizes_{};
};

}  // namespace sluice
