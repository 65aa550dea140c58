// What schedulers and workers know about how busy a destination is.
// Threads: all workers change loads and flags; anybody reads them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

// Connections a destination has now; shared by all workers, which makes lc, wlc, sed and nq exact. Active and
// total are halves of one number: a change of both is one instruction, and whoever reads sees a pair that
// was. A cache line of its own, so that workers that open connections to different destinations do not wait
// for each other.
struct alignas(64) DestinationLoad {
  struct Counts {
    int32_t active;
    int32_t total;  // active and inactive
  };

  static constexpr uint64_t kOne = 1;  // of the total
  static constexpr uint64_t kOneActive = uint64_t{1} << 32;

  std::atomic<uint64_t> connections{0};  // neither half is ever below 0
  std::atomic<int32_t> persistent{0};
  // How many connections make it overloaded, and below how many it no longer is; upper 0: it never is.
  std::atomic<int32_t> upper{0};
  std::atomic<int32_t> lower{0};
  uint32_t place = 0;                // of its flag, see LoadGroup
  std::atomic<bool> watched{false};  // its changes are counted

  static Counts CountsOf(uint64_t connections) {
    return {static_cast<int32_t>(connections >> 32), static_cast<int32_t>(connections)};
  }
  Counts Read() const { return CountsOf(connections.load(std::memory_order_relaxed)); }
  int32_t Active() const { return Read().active; }
  int32_t Total() const { return Read().total; }
};
static_assert(sizeof(DestinationLoad) == 64);

// Some destinations of one service, in the order in which they were added: which of them are overloaded, so
// that a scheduler need not look at each, and how often their loads have changed, so that one that remembers
// its choice knows whether to look again.
struct alignas(64) LoadGroup {
  static constexpr uint32_t kSize = 32;

  std::atomic<uint32_t> overloaded{0};  // a bit for each destination, the newest has the highest
  std::atomic<uint32_t> changes{0};

  bool IsOverloaded(uint32_t bit) const { return overloaded.load(std::memory_order_relaxed) >> bit & 1; }
  void SetOverloaded(uint32_t bit, bool to) {
    if (to) {
      overloaded.fetch_or(uint32_t{1} << bit);
    } else {
      overloaded.fetch_and(~(uint32_t{1} << bit));
    }
  }
};

}  // namespace sluice
