// Which clients a service is for: prefixes that are allowed or denied, the longest of which decides. IPv4's
// are laid flat and found by the address's upper half; of IPv6's there is a hash table for each length in
// use. Either way the cost does not grow with their number.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/config/flat_table.h"
#include "dataplane/config/spec.h"

namespace sluice {

class SourceFilter {
 public:
  // REQUIRES: some prefix, all of one family. Without any that is allowed, all are that are not denied.
  explicit SourceFilter(const SourceRanges& ranges);

  bool Admits(const IpAddress& source) const {
    return source.IsV4() ? AdmitsV4(source.V4().ToHost()) : AdmitsV6(source);
  }

 private:
  static constexpr uint32_t kBlocks = 1 << 16;

  void AddV4(const SourceRanges& ranges);
  void AddV6(const SourceRanges& ranges);
  void Add(uint32_t start, bool admitted);
  bool AdmitsV6(const IpAddress& source) const;

  bool AdmitsV4(uint32_t address) const {
    // Among the ranges that begin in its block of 2^16 addresses, the last that begins at or before it; or,
    // if none does, the one that reaches into the block.
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

  std::vector<uint32_t> starts_;  // of IPv4's ranges, sorted; the first is 0
  std::vector<uint8_t> admitted_;
  std::vector<uint32_t> first_of_block_;

  struct PrefixKey {
    IpAddress address;
    bool is_set = false;
    size_t Hash() const { return IpAddressHash()(address) >> 20; }
    friend bool operator==(const PrefixKey&, const PrefixKey&) = default;
  };
  enum Fate : uint64_t { kDenied = 1, kAdmitted = 2 };
  struct Length {
    int bits;
    FlatTable<PrefixKey> fates;
  };
  std::vector<Length> lengths_;  // of IPv6's prefixes, the longest first
  bool others_admitted_ = false;
};

}  // namespace sluice
