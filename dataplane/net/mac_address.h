// An Ethernet address. A value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <string>

namespace sluice {

struct __attribute__((packed)) MacAddress {
  std::array<uint8_t, 6> bytes{};

  bool IsZero() const { return *this == MacAddress{}; }
  std::string ToString() const {
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                  bytes[4], bytes[5]);
    return text;
  }
  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

}  // namespace sluice
