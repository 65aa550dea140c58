// A table of nftables that is ours alone: chains and rules that stay as they are, and sets of what they are about.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "dataplane/net/ip_address.h"

struct nft_ctx;

namespace sluice {

// The last letter of the names of sets that hold addresses of this family.
inline const char* FamilySuffix(const IpAddress& address) { return address.IsV4() ? "4" : "6"; }

// "10.0.0.0-10.255.255.255", or the one address there is.
std::string RangeText(const std::pair<IpAddress, IpAddress>& range);

class NftTable {
 public:
  // The elements of each set, as nftables writes them.
  using Sets = std::map<std::string, std::set<std::string>>;

  // `layout` are commands that make table, sets, chains and rules, whatever there was of them.
  NftTable(std::string name, std::string layout);
  ~NftTable();  // the kernel keeps what it has
  NftTable(const NftTable&) = delete;
  NftTable& operator=(const NftTable&) = delete;

  // The sets have these elements and no others; those that are not named are left alone. All at once or not
  // at all. The table is there while any has some.
  absl::Status Have(const Sets& sets);
  // The next Have writes everything, for somebody else may have changed it.
  void Forget() { is_known_ = false; }
  bool is_there() const { return is_there_; }
  // Beyond what Have knows of.
  absl::Status Run(const std::string& commands);

 private:
  std::string Elements(const char* verb, const std::string& set, const std::set<std::string>& elements) const;

  const std::string name_;
  const std::string layout_;
  nft_ctx* const context_;
  Sets sets_;
  bool is_known_ = false;  // the kernel has sets_
  bool is_there_ = false;
};

}  // namespace sluice
