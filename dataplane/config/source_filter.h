// Which clients a service is for: prefixes that are allowed or denied, the longest of which decides. Laid
// flat and found by the address's upper half, so that the cost does not grow with their number. IPv4.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/config/spec.h"

namespace sluice {

class SourceFilter {
 public:
  // REQUIRES: some prefix. Without any that is allowed, all are that are not denied.
  explicit SourceFilter(const SourceRanges& ranges);

  bool Admits(Be32 source) const {
    const uint32_t address = source.ToHost();
    // Among the ranges that begin in its block of 2^16 addresses, the last that begins at or before it; or, if
    // none does, the one that reaches into the block.
    uint32_t low = first_of_block_[address >> 16];
    uint32_t high = first_of_block_[(address >> 16) + 1];
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      if (starts_[middle] <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return admitted_[low - 1];
  }

 private:
  static constexpr uint32_t kBlocks = 1 << 16;

  void Add(uint32_t start, bool admitted);

  std::vector<uint32_t> starts_;  // of ranges, sorted; the first is 0
  std::vector<uint8_t> admitted_;
  std::vector<uint32_t> first_of_block_;
};

}  // namespace sluice
