// An address as it stands in a packet, with the family of the header it stands in: the fuzzer's own, so that
// it shares no mistake with the pipeline.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>

#include <array>
#include <compare>
#include <cstring>
#include <string>

#include "dataplane/net/check.h"
#include "dataplane/net/ip_address.h"

namespace sluice::fuzz {

struct Address {
  bool is_v6 = false;
  std::array<uint8_t, 16> bytes{};  // of IPv4 the first four

  friend auto operator<=>(const Address&, const Address&) = default;

  static Address Of(const std::string& text) {
    Address address{.is_v6 = text.find(':') != std::string::npos};
    SLUICE_CHECK(inet_pton(address.is_v6 ? AF_INET6 : AF_INET, text.c_str(), address.bytes.data()) == 1);
    return address;
  }
  static Address FromV4(const void* four_bytes) {
    Address address;
    std::memcpy(address.bytes.data(), four_bytes, 4);
    return address;
  }
  static Address FromV6(const void* sixteen_bytes) {
    Address address{.is_v6 = true};
    std::memcpy(address.bytes.data(), sixteen_bytes, 16);
    return address;
  }
  static Address Of(const IpAddress& address) {
    return address.IsV4() ? FromV4(address.bytes.data() + 12) : FromV6(address.bytes.data());
  }

  size_t size() const { return is_v6 ? 16 : 4; }
  int bits() const { return is_v6 ? 128 : 32; }
  IpAddress ToIp() const {
    if (is_v6) return IpAddress::FromV6(static_cast<const void*>(bytes.data()));
    Be32 word;
    std::memcpy(&word.raw, bytes.data(), 4);
    return IpAddress::FromV4(word);
  }
  // The first `length` bits, the rest zero.
  Address Prefix(int length) const {
    Address prefix = *this;
    for (int bit = length; bit < bits(); ++bit)
      prefix.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80 >> (bit % 8)));
    return prefix;
  }
  // Neither unspecified, loopback, multicast, broadcast nor an IPv4 address in disguise (RFC 4291, RFC 6890).
  // Reserved ones are used by networks.
  bool IsOfHost() const {
    if (!is_v6)
      return bytes[0] != 0 && bytes[0] != 127 && bytes[0] >> 4 != 14 && *this != Of("255.255.255.255");
    static constexpr std::array<uint8_t, 12> kCompatible = {};
    static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return bytes[0] != 0xff && std::memcmp(bytes.data(), kCompatible.data(), 12) != 0 &&
           std::memcmp(bytes.data(), kMapped.data(), 12) != 0;
  }
  std::string ToText() const {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
    return text;
  }
};

}  // namespace sluice::fuzz
