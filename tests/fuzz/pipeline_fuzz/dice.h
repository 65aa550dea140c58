// Chance that can be repeated: the same seed, the same throws.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <random>
#include <vector>

namespace sluice::fuzz {

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}

  uint32_t Throw() { return static_cast<uint32_t>(random_()); }
  uint32_t Below(uint64_t limit) { return static_cast<uint32_t>(Throw() % limit); }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  template <class T>
  T Any(std::initializer_list<T> values) {
    return *std::next(values.begin(), Below(values.size()));
  }
  template <class T>
  const T& Any(const std::vector<T>& values) {
    return values[Below(values.size())];
  }

 private:
  std::mt19937 random_;
};

}  // namespace sluice::fuzz
