// Which firewall mark a packet carries, by its destination: rules on prefix, protocol and ports, of which the
// first that matches counts. One probe for each length of prefix in use, whatever the number of rules.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataplane/config/spec.h"

namespace sluice {

class FwmarkClassifier {
 public:
  FwmarkClassifier() = default;
  explicit FwmarkClassifier(const std::vector<FwmarkRule>& rules);

  // 0: no mark.
  uint32_t MarkOf(const IpAddress& destination, Be16 port, Protocol protocol) const {
    return rules_.empty() ? 0 : Search(destination, port, protocol);
  }

 private:
  uint32_t Search(const IpAddress& destination, Be16 port, Protocol protocol) const;

  struct Prefix {
    IpAddress address;
    int bits;
    friend bool operator==(const Prefix&, const Prefix&) = default;
  };
  struct PrefixHash {
    size_t operator()(const Prefix& prefix) const {
      return IpAddressHash()(prefix.address) * 131 + static_cast<size_t>(prefix.bits);
    }
  };

  std::vector<FwmarkRule> rules_;
  std::vector<int> lengths_;                                             // in use, by either family
  std::unordered_map<Prefix, std::vector<uint32_t>, PrefixHash> index_;  // rules in order
};

}  // namespace sluice
