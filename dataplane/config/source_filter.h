// Which clients a service is for: prefixes that are allowed or denied, the longest of which decides. They are
// laid flat into ranges without overlap; IPv4's are found by the address's upper half, so that the cost does
// not grow with their number, IPv6's by halving.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/config/spec.h"

namespace sluice {

class SourceFilter {
 public:
  // REQUIRES: some prefix, all of one family. Without any that is allowed, all are that are not denied.
  explicit SourceFilter(const SourceRanges& ranges);

  // From first to last; in order.
  std::vector<std::pair<IpAddress, IpAddress>> AdmittedRanges() const;

  bool Admits(const IpAddress& source) const {
    return source.IsV4() ? AdmitsV4(source.V4().ToHost()) : AdmitsV6(source);
  }

 private:
  static constexpr uint32_t kBlocks = 1 << 16;

  // From each start to before the next.
  template <class Address>
  struct Ranges {
    std::vector<Address> starts;  // sorted; the first is 0
    std::vector<uint8_t> admitted;

    void Lay(const SourceRanges& prefixes);
    void Add(Address start, bool is_admitted);
    // The last range that begins at or before `address`, which is one of low..high-1, or the one before.
    bool Admits(Address address, size_t low, size_t high) const {
      while (low < high) {
        const size_t middle = (low + high) / 2;
        if (starts[middle] <= address) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return admitted[low - 1];
    }
  };
  using Number = unsigned __int128;

  bool AdmitsV4(uint32_t address) const {
    const uint32_t block = address >> 16;
    return v4_.Admits(address, first_of_block_[block], first_of_block_[block + 1]);
  }
  bool AdmitsV6(const IpAddress& source) const;

  Ranges<uint32_t> v4_;
  std::vector<uint32_t> first_of_block_;  // in v4_, by the address's upper half
  Ranges<Number> v6_;
};

}  // namespace sluice
