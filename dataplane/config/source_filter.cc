// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/source_filter.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace sluice {
namespace {

struct Block {
  uint32_t first;
  uint32_t last;
  bool admitted;
};

Block BlockOf(const SourceRanges::Prefix& prefix, bool admitted) {
  const uint32_t first = prefix.address.V4().ToHost();
  const uint64_t size = uint64_t{1} << (32 - prefix.length);
  return {first, static_cast<uint32_t>(first + size - 1), admitted};
}

}  // namespace

SourceFilter::SourceFilter(const SourceRanges& ranges) {
  const bool is_v4 = (ranges.allow.empty() ? ranges.deny : ranges.allow).front().address.IsV4();
  is_v4 ? AddV4(ranges) : AddV6(ranges);
}

// Of two equal prefixes the denied counts, which comes later.
void SourceFilter::AddV6(const SourceRanges& ranges) {
  others_admitted_ = ranges.allow.empty();
  std::map<int, FlatTable<PrefixKey>, std::greater<>> lengths;
  for (const SourceRanges::Prefix& prefix : ranges.allow)
    lengths[prefix.length].Set({prefix.address, true}, kAdmitted);
  for (const SourceRanges::Prefix& prefix : ranges.deny)
    lengths[prefix.length].Set({prefix.address, true}, kDenied);
  for (auto& [bits, fates] : lengths) lengths_.push_back({bits, std::move(fates)});
}

bool SourceFilter::AdmitsV6(const IpAddress& source) const {
  for (const Length& length : lengths_) {
    const uint64_t fate = length.fates.Find({source.Prefix(length.bits), true});
    if (fate != 0) return fate == kAdmitted;
  }
  return others_admitted_;
}

void SourceFilter::AddV4(const SourceRanges& ranges) {
  std::vector<Block> blocks = {{0, UINT32_MAX, ranges.allow.empty()}};
  for (const SourceRanges::Prefix& prefix : ranges.allow) blocks.push_back(BlockOf(prefix, true));
  for (const SourceRanges::Prefix& prefix : ranges.deny) blocks.push_back(BlockOf(prefix, false));
  // The wider before those it contains; of equal ones the later counts, which is the denied.
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  std::vector<Block> open;  // those that contain the present address
  const auto close_before = [&](uint64_t address) {
    while (!open.empty() && open.back().last < address) {
      const uint32_t last = open.back().last;
      open.pop_back();
      if (!open.empty() && last != UINT32_MAX) Add(last + 1, open.back().admitted);
    }
  };
  for (const Block& block : blocks) {
    close_before(block.first);
    Add(block.first, block.admitted);
    open.push_back(block);
  }
  close_before(uint64_t{UINT32_MAX} + 1);

  first_of_block_.resize(kBlocks + 1);
  uint32_t at = 0;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    while (at < starts_.size() && starts_[at] < block << 16) ++at;
    first_of_block_[block] = at;
  }
  first_of_block_[kBlocks] = static_cast<uint32_t>(starts_.size());
}

void SourceFilter::Add(uint32_t start, bool admitted) {
  if (!starts_.empty() && starts_.back() == start) {
    admitted_.back() = admitted;
  } else if (starts_.empty() || static_cast<bool>(admitted_.back()) != admitted) {
    starts_.push_back(start);
    admitted_.push_back(admitted);
  }
}

}  // namespace sluice
