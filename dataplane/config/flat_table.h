// A flat hash table from small keys to words that are not zero, in one probe sequence: cheap to look up, and
// to copy.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

// A default-constructed Key is nobody's.
template <class Key>
class FlatTable {
 public:
  FlatTable() : slots_(kMinimumSlots) {}

  // 0: the key is not there.
  uint64_t Find(const Key& key) const {
    for (size_t at = HomeOf(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].value;
      if (slots_[at].key == Key{}) return 0;
    }
  }

  [[gnu::always_inline]] void Prefetch(const Key& key) const { __builtin_prefetch(&slots_[HomeOf(key)]); }

  // 0 removes the key. Returns whether it came (1) or went (-1).
  int Set(const Key& key, uint64_t value) {
    const size_t mask = slots_.size() - 1;
    size_t at = HomeOf(key);
    while (!(slots_[at].key == Key{}) && !(slots_[at].key == key)) at = (at + 1) & mask;
    if (slots_[at].key == key) {
      if (value == 0) {
        Erase(at);
        return -1;
      }
      slots_[at].value = value;
      return 0;
    }
    if (value == 0) return 0;
    slots_[at] = {key, value};
    if (++used_ * 2 > slots_.size()) Grow();
    return 1;
  }

 private:
  struct Slot {
    Key key;
    uint64_t value = 0;
  };
  static constexpr size_t kMinimumSlots = 64;

  size_t HomeOf(const Key& key) const { return key.Hash() & (slots_.size() - 1); }

  // Closes the gap, so that no probe sequence ends too early.
  void Erase(size_t at) {
    const size_t mask = slots_.size() - 1;
    for (size_t next = (at + 1) & mask; !(slots_[next].key == Key{}); next = (next + 1) & mask) {
      const size_t home = HomeOf(slots_[next].key);
      const bool home_is_behind_the_gap = ((next - home) & mask) < ((next - at) & mask);
      if (home_is_behind_the_gap) continue;
      slots_[at] = slots_[next];
      at = next;
    }
    slots_[at] = {};
    --used_;
  }

  void Grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    used_ = 0;
    for (const Slot& slot : old) {
      if (!(slot.key == Key{})) Set(slot.key, slot.value);
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t used_ = 0;
};

}  // namespace sluice
