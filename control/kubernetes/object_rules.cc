// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/object_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

// RFC 1123's, as the API has it for a subdomain.
constexpr size_t kLongestName = 253;

bool IsLowerOrDigit(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
}

bool IsDnsName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && IsLowerOrDigit(name.front()) &&
         IsLowerOrDigit(name.back()) && std::all_of(name.begin(), name.end(), [](char letter) {
           return IsLowerOrDigit(letter) || letter == '-' || letter == '.';
         });
}

bool IsVersion(std::string_view version) {
  return !version.empty() && version.front() != '0' &&
         std::all_of(version.begin(), version.end(), [](char digit) { return digit >= '0' && digit <= '9'; });
}

}  // namespace

std::string FaultOf(const ObjectName& name) {
  constexpr absl::string_view kRule = " must be 1..253 of a-z, 0-9, '-' and '.'";
  if (!IsDnsName(name.name)) return absl::StrCat("metadata.name", kRule);
  if (!name.name_space.empty() && !IsDnsName(name.name_space))
    return absl::StrCat("metadata.namespace of ", name.name, kRule);
  return {};
}

bool IsOlderVersion(std::string_view version, std::string_view than) {
  if (!IsVersion(version) || !IsVersion(than)) return false;
  return version.size() != than.size() ? version.size() < than.size() : version < than;
}

}  // namespace sluice::kubernetes
