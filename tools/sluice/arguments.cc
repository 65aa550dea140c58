// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/arguments.h"

namespace sluice {

Arguments ParseArguments(const std::vector<std::string>& words, const std::set<std::string>& with_value,
                         const std::set<std::string>& flags) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    std::string name = words[i].substr(0, equals);
    if (name == "-f") name = "--file";
    if (words[i].empty() || words[i][0] != '-') {
      arguments.rest.push_back(words[i]);
    } else if (flags.contains(name) && equals == std::string::npos) {
      arguments.flags.insert(name);
    } else if (!with_value.contains(name)) {
      arguments.wrong = "does not know " + words[i];
      return arguments;
    } else if (equals != std::string::npos) {
      arguments.values[name].push_back(words[i].substr(equals + 1));
    } else if (i + 1 < words.size()) {
      arguments.values[name].push_back(words[++i]);
    } else {
      arguments.wrong = name + " needs a value";
      return arguments;
    }
  }
  return arguments;
}

}  // namespace sluice
