// The command line of one command of `sluice`: options with and without values, and the rest.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace sluice {

struct Arguments {
  std::map<std::string, std::vector<std::string>> values;  // by option
  std::set<std::string> flags;
  std::vector<std::string> rest;
  std::string wrong;  // what is, in words

  bool Has(const std::string& flag) const { return flags.contains(flag); }
  std::string Value(const std::string& option, const std::string& otherwise = "") const {
    const auto found = values.find(option);
    return found == values.end() ? otherwise : found->second.back();
  }
};

// --option VALUE, --option=VALUE, and `-f` for --file.
Arguments ParseArguments(const std::vector<std::string>& words, const std::set<std::string>& with_value,
                         const std::set<std::string>& flags);

}  // namespace sluice
