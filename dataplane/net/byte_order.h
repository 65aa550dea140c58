// Integers in network byte order. They do not convert to or from plain integers by themselves, so that
// forgetting a swap does not compile. The raw value is what stands in a packet.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <compare>
#include <cstdint>

namespace sluice {

static_assert(std::endian::native == std::endian::little, "Sluice runs on little-endian machines");

struct __attribute__((packed)) Be16 {  // packed: may stand at any address in a frame
  uint16_t raw = 0;

  static constexpr Be16 FromHost(uint16_t value) { return Be16{__builtin_bswap16(value)}; }
  constexpr uint16_t ToHost() const { return __builtin_bswap16(raw); }
  friend constexpr bool operator==(Be16, Be16) = default;
};

struct __attribute__((packed)) Be32 {
  uint32_t raw = 0;

  static constexpr Be32 FromHost(uint32_t value) { return Be32{__builtin_bswap32(value)}; }
  constexpr uint32_t ToHost() const { return __builtin_bswap32(raw); }
  friend constexpr bool operator==(Be32, Be32) = default;
};

}  // namespace sluice
