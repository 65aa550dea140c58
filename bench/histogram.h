// Durations, each to within three per cent: for every power of two, 32 equal steps.
// Threads: one writes, any reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace sluice {

class Histogram {
 public:
  void Add(uint64_t value) {
    std::atomic<uint64_t>& count = counts_[PlaceOf(value)];
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  uint64_t Count() const {
    uint64_t all = 0;
    for (const auto& count : counts_) all += count.load(std::memory_order_relaxed);
    return all;
  }
  // The least value that is not exceeded by this share of all.
  uint64_t Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(Count()));
    uint64_t seen = 0;
    for (size_t place = 0; place < counts_.size(); ++place) {
      seen += counts_[place].load(std::memory_order_relaxed);
      if (seen >= wanted && seen > 0) return ValueAt(place);
    }
    return 0;
  }

 private:
  static constexpr int kStepBits = 5;
  static constexpr uint64_t kSteps = 1 << kStepBits;

  static size_t PlaceOf(uint64_t value) {
    if (value < kSteps) return value;
    const int above = std::bit_width(value) - 1 - kStepBits;
    return static_cast<size_t>((static_cast<uint64_t>(above) + 1) * kSteps + ((value >> above) - kSteps));
  }
  static uint64_t ValueAt(size_t place) {
    if (place < kSteps) return place;
    const uint64_t above = place / kSteps - 1;
    return (kSteps + place % kSteps) << above;
  }
  std::array<std::atomic<uint64_t>, (64 - kStepBits + 1) * kSteps> counts_{};
};

}  // namespace sluice
