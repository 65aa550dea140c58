// The sixteen bytes of an IPv6 address as on the wire, and the ranges that no host may use.
// A value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>

namespace sluice {

struct __attribute__((packed)) Ipv6Address {  // packed: may stand at any address in a frame
  std::array<uint8_t, 16> bytes{};

  uint64_t Word(int number) const {
    uint64_t word;
    std::memcpy(&word, bytes.data() + 8 * number, sizeof word);
    return word;
  }

  bool IsUnspecified() const { return (Word(0) | Word(1)) == 0; }
  bool IsLoopback() const { return Word(0) == 0 && Word(1) == __builtin_bswap64(1); }
  bool IsMulticast() const { return bytes[0] == 0xff; }
  // ::ffff:0:0/96 and ::/96 (RFC 4291, 2.5.5): IPv4 addresses in the notation of IPv6, never on a wire.
  bool IsV4Mapped() const { return Word(0) == 0 && static_cast<uint32_t>(Word(1)) == 0xffff0000; }
  bool IsV4Compatible() const {
    return Word(0) == 0 && static_cast<uint32_t>(Word(1)) == 0 && !IsUnspecified() && !IsLoopback();
  }

  // In two words: byte by byte it would be a call.
  friend bool operator==(const Ipv6Address& a, const Ipv6Address& b) {
    return ((a.Word(0) ^ b.Word(0)) | (a.Word(1) ^ b.Word(1))) == 0;
  }
  friend std::strong_ordering operator<=>(const Ipv6Address& a, const Ipv6Address& b) {
    const int first = a.Word(0) == b.Word(0) ? 1 : 0;
    return __builtin_bswap64(a.Word(first)) <=> __builtin_bswap64(b.Word(first));
  }
};
static_assert(sizeof(Ipv6Address) == 16);

struct Ipv6AddressHash {
  size_t operator()(const Ipv6Address& address) const {
    return (address.Word(0) * 0x9e3779b97f4a7c15u) ^
           ((address.Word(1) ^ (address.Word(1) >> 29)) * 0xbf58476d1ce4e5b9u);
  }
};

}  // namespace sluice
