// Numbers, and addresses with ports, as they stand on a command line.
// Threads: pure functions, but for looking names up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace sluice {

template <class T>
bool ParseNumber(absl::string_view text, uint64_t most, T& number) {
  uint64_t value;
  if (text.empty() || text[0] < '0' || text[0] > '9' || !absl::SimpleAtoi(text, &value) || value > most)
    return false;
  number = static_cast<T>(value);
  return true;
}

struct Address {
  std::string address;
  bool is_v6 = false;
  std::optional<uint32_t> port;
};

// "10.0.0.1:80", "10.0.0.1", "[2001:db8::1]:80", "www.example.org:http".
std::optional<Address> ParseAddress(const std::string& text, const char* protocol);

}  // namespace sluice
