// An Ethernet address. A value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstring>
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
  // For every packet: without a call of memcmp.
  friend bool operator==(const MacAddress& a, const MacAddress& b) {
    uint32_t front[2];
    uint16_t back[2];
    std::memcpy(&front[0], a.bytes.data(), 4);
    std::memcpy(&front[1], b.bytes.data(), 4);
    std::memcpy(&back[0], a.bytes.data() + 4, 2);
    std::memcpy(&back[1], b.bytes.data() + 4, 2);
    return front[0] == front[1] && back[0] == back[1];
  }
};

}  // namespace sluice
