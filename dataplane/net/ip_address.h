// An address of either family, which is carried and never inferred from the bytes: ::ffff:10.0.0.1 in an IPv6
// packet is an IPv6 address. Every IPv4 address sorts before every IPv6 one.
// A value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/byte_order.h"
#include "dataplane/net/ipv6_address.h"

namespace sluice {

enum class AddressFamily : uint8_t { kNone, kIpv4, kIpv6 };

struct __attribute__((packed)) IpAddress {  // packed: may stand at any address in a frame
  std::array<uint8_t, 16> bytes{};          // IPv4 is in the last four, behind zeros
  AddressFamily family = AddressFamily::kNone;

  static constexpr IpAddress FromV4(Be32 address) {
    IpAddress result;
    result.family = AddressFamily::kIpv4;
    for (int i = 0; i < 4; ++i) result.bytes[12 + i] = static_cast<uint8_t>(address.raw >> (8 * i));
    return result;
  }
  static constexpr IpAddress FromV6(const Ipv6Address& address) {
    return {address.bytes, AddressFamily::kIpv6};
  }
  static IpAddress FromV6(const void* sixteen_bytes) {
    IpAddress result{{}, AddressFamily::kIpv6};
    std::memcpy(result.bytes.data(), sixteen_bytes, 16);
    return result;
  }
  // 0.0.0.0 or ::
  static constexpr IpAddress Unspecified(AddressFamily family) { return {{}, family}; }
  // "10.0.0.1", "2001:db8::1"; nothing else (no ports, no names, no mapped form).
  static std::optional<IpAddress> Parse(std::string_view text);

  bool IsV4() const { return family == AddressFamily::kIpv4; }
  // REQUIRES: IsV4()
  Be32 V4() const {
    Be32 result;
    std::memcpy(&result.raw, bytes.data() + 12, 4);
    return result;
  }
  // REQUIRES: not IsV4()
  Ipv6Address V6() const { return {bytes}; }

  // 0.0.0.0, :: or no address at all.
  bool IsUnspecified() const { return V6().IsUnspecified(); }
  // IPv4: not of 0/8, 127/8, nor from 224/4 up; IPv6: not of ::/96, ::ffff:0:0/96 or ff00::/8.
  bool CanBeHost() const {
    if (IsV4()) return bytes[12] != 0 && bytes[12] != 127 && bytes[12] < 224;
    const Ipv6Address address = V6();
    const bool is_of_reserved_96 = address.Word(0) == 0 && static_cast<uint32_t>(address.Word(1)) == 0;
    return !is_of_reserved_96 && !address.IsV4Mapped() && !address.IsMulticast();
  }
  int bits() const { return IsV4() ? 32 : 128; }
  // The first `length` bits of the address, the rest zero; all of it if it has no more.
  IpAddress Prefix(int length) const {
    IpAddress result = Unspecified(family);
    const int offset = IsV4() ? 96 : 0;
    const int end = offset + (length < bits() ? length : bits());
    for (int byte = offset / 8; byte * 8 < end; ++byte) {
      const int kept = end - byte * 8;
      const int mask = kept >= 8 ? 0xff : 0xff00 >> kept;
      result.bytes[byte] = static_cast<uint8_t>(bytes[byte] & mask);
    }
    return result;
  }
  std::string ToString() const;

  friend bool operator==(const IpAddress& a, const IpAddress& b) {
    return a.V6() == b.V6() && a.family == b.family;
  }
  friend std::strong_ordering operator<=>(const IpAddress& a, const IpAddress& b) {
    return a.family != b.family ? a.family <=> b.family : a.V6() <=> b.V6();
  }
};
static_assert(sizeof(IpAddress) == 17);

struct IpAddressHash {
  size_t operator()(const IpAddress& address) const { return Ipv6AddressHash()(address.V6()); }
};

// "10.0.0.1:80", "[2001:db8::1]:80"
std::string EndpointToString(const IpAddress& address, Be16 port);

}  // namespace sluice
