// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/fwmark_classifier.h"

#include <algorithm>

namespace sluice {

FwmarkClassifier::FwmarkClassifier(const std::vector<FwmarkRule>& rules) : rules_(rules) {
  for (uint32_t i = 0; i < rules_.size(); ++i) {
    const int bits = rules_[i].prefix_length;
    if (std::find(lengths_.begin(), lengths_.end(), bits) == lengths_.end()) lengths_.push_back(bits);
    index_[{rules_[i].prefix, bits}].push_back(i);
  }
}

uint32_t FwmarkClassifier::Search(const IpAddress& destination, Be16 port, Protocol protocol) const {
  uint32_t first = static_cast<uint32_t>(rules_.size());
  for (const int bits : lengths_) {
    const auto found = index_.find({destination.Prefix(bits), bits});
    if (found == index_.end()) continue;
    for (const uint32_t i : found->second) {
      if (i >= first) break;
      const FwmarkRule& rule = rules_[i];
      const uint16_t number = port.ToHost();
      if (rule.protocol && *rule.protocol != protocol) continue;
      if (number < rule.first_port || number > rule.last_port) continue;
      first = i;
      break;
    }
  }
  return first == rules_.size() ? 0 : rules_[first].fwmark;
}

}  // namespace sluice
