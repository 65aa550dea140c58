// Sets of lanes of a burst: one bit a packet.
//   for (int lane : Lanes(mask)) ...
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr int kBurst = 32;

using LaneMask = uint32_t;

constexpr LaneMask LaneBit(int lane) { return LaneMask{1} << lane; }
constexpr LaneMask FirstLanes(int count) { return count >= kBurst ? ~LaneMask{0} : LaneBit(count) - 1; }

class Lanes {
 public:
  explicit constexpr Lanes(LaneMask mask) : mask_(mask) {}

  struct Iterator {
    LaneMask rest;
    constexpr int operator*() const { return __builtin_ctz(rest); }  // there is one, or the end is reached
    constexpr Iterator& operator++() {
      rest &= rest - 1;
      return *this;
    }
    constexpr bool operator!=(const Iterator& other) const { return rest != other.rest; }
  };
  constexpr Iterator begin() const { return {mask_}; }
  constexpr Iterator end() const { return {0}; }

 private:
  LaneMask mask_;
};

}  // namespace sluice
