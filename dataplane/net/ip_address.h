// One type for IPv4 and IPv6 addresses: 16 bytes as on the wire, IPv4 mapped into ::ffff:0:0/96.
// A value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/byte_order.h"

namespace sluice {

struct __attribute__((packed)) IpAddress {  // packed: may stand at any address in a frame
  std::array<uint8_t, 16> bytes{};

  static constexpr IpAddress FromV4(Be32 address) {
    IpAddress result;
    result.bytes[10] = result.bytes[11] = 0xff;
    for (int i = 0; i < 4; ++i) result.bytes[12 + i] = static_cast<uint8_t>(address.raw >> (8 * i));
    return result;
  }
  static IpAddress FromV6(const void* sixteen_bytes) {
    IpAddress result;
    std::memcpy(result.bytes.data(), sixteen_bytes, 16);
    return result;
  }
  // "10.0.0.1", "2001:db8::1"; nothing else (no ports, no names, no mapped form).
  static std::optional<IpAddress> Parse(std::string_view text);

  bool IsV4() const {
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), kMapped, sizeof kMapped) == 0;
  }
  // REQUIRES: IsV4()
  Be32 V4() const {
    Be32 result;
    std::memcpy(&result.raw, bytes.data() + 12, 4);
    return result;
  }
  bool IsUnspecified() const { return *this == IpAddress{} || *this == FromV4(Be32{0}); }
  // In IPv4 the first octet tells: not of 0/8, 127/8, nor from 224 up; in IPv6 not ::, ::1 or of ff00::/8.
  bool CanBeSource() const {
    if (!IsV4()) return Prefix(127) != IpAddress{} && !IsMulticast();
    return bytes[12] != 0 && bytes[12] != 127 && bytes[12] < 224;
  }
  bool IsMulticast() const { return IsV4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff; }
  // The first `bits` of all 128, the rest zero.
  IpAddress Prefix(int bits) const {
    IpAddress result;
    const int whole = bits / 8;
    std::memcpy(result.bytes.data(), bytes.data(), static_cast<size_t>(whole));
    if (bits % 8 != 0) result.bytes[whole] = static_cast<uint8_t>(bytes[whole] & (0xff00 >> (bits % 8)));
    return result;
  }
  std::string ToString() const;

  // In two words: byte by byte it would be a call.
  friend bool operator==(const IpAddress& a, const IpAddress& b) {
    return ((a.Word(0) ^ b.Word(0)) | (a.Word(1) ^ b.Word(1))) == 0;
  }
  friend std::strong_ordering operator<=>(const IpAddress& a, const IpAddress& b) {
    const int first = a.Word(0) == b.Word(0) ? 1 : 0;
    return __builtin_bswap64(a.Word(first)) <=> __builtin_bswap64(b.Word(first));
  }

 private:
  uint64_t Word(int number) const {
    uint64_t word;
    std::memcpy(&word, bytes.data() + 8 * number, sizeof word);
    return word;
  }
};

struct IpAddressHash {
  size_t operator()(const IpAddress& address) const {
    uint64_t words[2];
    std::memcpy(words, address.bytes.data(), 16);
    return (words[0] * 0x9e3779b97f4a7c15u) ^ ((words[1] ^ (words[1] >> 29)) * 0xbf58476d1ce4e5b9u);
  }
};

// "10.0.0.1:80", "[2001:db8::1]:80"
std::string EndpointToString(const IpAddress& address, Be16 port);

}  // namespace sluice
