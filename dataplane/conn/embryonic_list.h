// Connections that are not established yet, the oldest first: those that go when the table is full. The
// oldest has had the most time to become established; were it the youngest, in a flood no newcomer would live
// until its answer comes.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/huge_array.h"

namespace sluice {

class EmbryonicList {
 public:
  // Indices 1..capacity may be in it.
  explicit EmbryonicList(uint32_t capacity) : links_(size_t{capacity} + 1, Pages::kAtOnce) {}

  // 0: there is none.
  uint32_t oldest() const { return links_[0].younger; }

  // 0: none. REQUIRES: `index` is in it.
  uint32_t NextYounger(uint32_t index) const { return links_[index].younger; }

  // REQUIRES: `index` is not in it.
  void Add(uint32_t index) {
    const uint32_t second = links_[0].older;
    links_[index] = {.older = second, .younger = 0};
    links_[second].younger = index;
    links_[0].older = index;
  }
  // REQUIRES: `index` is in it.
  void Remove(uint32_t index) {
    const Link link = links_[index];
    links_[link.older].younger = link.younger;
    links_[link.younger].older = link.older;
  }

  void Prefetch(uint32_t index) const { __builtin_prefetch(&links_[index], 1); }

 private:
  struct Link {
    uint32_t older;
    uint32_t younger;
  };
  HugeArray<Link> links_;  // a ring through [0]
};

}  // namespace sluice
