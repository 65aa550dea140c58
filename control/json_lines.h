// Where in a JSON text things are: the line of every value by its path, and of the first error in the
// grammar. protobuf's parser tells neither.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

struct JsonLines {
  // "services[0].key.address", names in snake_case however the text spells them.
  std::map<std::string, int> line_of;
  int error_line = 0;  // 0: the grammar is kept
  std::string error;
};

JsonLines ScanJson(absl::string_view text);

}  // namespace sluice
