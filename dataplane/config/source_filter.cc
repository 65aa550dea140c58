// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/source_filter.h"

#include <algorithm>

namespace sluice {

template <class Address>
struct AddressBlock {
  Address first;
  Address last;
  bool admitted;
};

namespace {

using Number = unsigned __int128;

Number NumberOf(const IpAddress& address) {
  Number number = 0;
  for (const uint8_t byte : address.bytes) number = number << 8 | byte;
  return number;
}

IpAddress AddressOf(Number number) {
  IpAddress address = IpAddress::Unspecified(AddressFamily::kIpv6);
  for (size_t i = address.bytes.size(); i-- > 0; number >>= 8)
    address.bytes[i] = static_cast<uint8_t>(number & 0xff);
  return address;
}

template <class Address>
AddressBlock<Address> AddressBlockOf(const SourceRanges::Prefix& prefix, bool admitted) {
  const auto first = static_cast<Address>(NumberOf(prefix.address));
  const Address rest = prefix.length == 0 ? ~Address{0} : (~Address{0} >> (prefix.length - 1)) >> 1;
  return {first, first | rest, admitted};
}

}  // namespace

SourceFilter::SourceFilter(const SourceRanges& ranges) {
  if (!(ranges.allow.empty() ? ranges.deny : ranges.allow).front().address.IsV4()) {
    v6_.Lay(ranges);
    return;
  }
  v4_.Lay(ranges);
  first_of_block_.resize(kBlocks + 1);
  uint32_t at = 0;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    while (at < v4_.starts.size() && v4_.starts[at] < block << 16) ++at;
    first_of_block_[block] = at;
  }
  first_of_block_[kBlocks] = static_cast<uint32_t>(v4_.starts.size());
}

std::vector<std::pair<IpAddress, IpAddress>> SourceFilter::AdmittedRanges() const {
  std::vector<std::pair<IpAddress, IpAddress>> admitted;
  const auto add = [&](const auto& ranges, const auto& address_of) {
    for (size_t i = 0; i < ranges.starts.size(); ++i) {
      if (!ranges.admitted[i]) continue;
      const bool is_last = i + 1 == ranges.starts.size();
      // Before the first there is the last.
      const auto end = static_cast<std::decay_t<decltype(ranges.starts[0])>>(
          (is_last ? ranges.starts[0] : ranges.starts[i + 1]) - 1);
      admitted.emplace_back(address_of(ranges.starts[i]), address_of(end));
    }
  };
  add(v4_, [](uint32_t number) { return IpAddress::FromV4(Be32::FromHost(number)); });
  add(v6_, AddressOf);
  return admitted;
}

bool SourceFilter::AdmitsV6(const IpAddress& source) const {
  return v6_.Admits(NumberOf(source), 1, v6_.starts.size());
}

template <class Address>
void SourceFilter::Ranges<Address>::Lay(const SourceRanges& prefixes) {
  std::vector<AddressBlock<Address>> blocks = {{0, ~Address{0}, prefixes.allow.empty()}};
  for (const SourceRanges::Prefix& prefix : prefixes.allow)
    blocks.push_back(AddressBlockOf<Address>(prefix, true));
  for (const SourceRanges::Prefix& prefix : prefixes.deny)
    blocks.push_back(AddressBlockOf<Address>(prefix, false));
  // The wider before those it contains; of equal ones the later counts, which is the denied.
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const AddressBlock<Address>& a, const AddressBlock<Address>& b) {
                     return a.first != b.first ? a.first < b.first : a.last > b.last;
                   });
  std::vector<AddressBlock<Address>> open;  // those that contain the present address
  const auto close_one = [&] {
    const Address last = open.back().last;
    open.pop_back();
    if (!open.empty() && last != ~Address{0}) Add(last + 1, open.back().admitted);
  };
  for (const AddressBlock<Address>& block : blocks) {
    while (!open.empty() && open.back().last < block.first) close_one();
    Add(block.first, block.admitted);
    open.push_back(block);
  }
  while (!open.empty()) close_one();
}

template <class Address>
void SourceFilter::Ranges<Address>::Add(Address start, bool is_admitted) {
  if (!starts.empty() && starts.back() == start) {
    admitted.back() = is_admitted;
  } else if (starts.empty() || static_cast<bool>(admitted.back()) != is_admitted) {
    starts.push_back(start);
    admitted.push_back(is_admitted);
  }
}

}  // namespace sluice
