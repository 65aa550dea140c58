// Text from outside as logs and terminals may have it.
// Threads: a pure function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Escapes what is no printable ASCII, so that nobody begins a line of their own or speaks to a terminal. What
// is longer than `longest` ends with "...".
inline std::string Printable(absl::string_view text, size_t longest) {
  constexpr absl::string_view kMore = "...";
  std::string result;
  for (const char c : text) {
    if (result.size() > longest) break;
    if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      absl::StrAppend(&result, "\\x", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    }
  }
  if (result.size() > longest) {
    result.resize(longest - kMore.size());
    absl::StrAppend(&result, kMore);
  }
  return result;
}

}  // namespace sluice
