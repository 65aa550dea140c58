// Addresses that no packet may come from or go to, whoever receives it: RFC 6890, RFC 4291 and what Linux's
// input drops. Private, link-local and reserved ones are not among them: networks use these.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/byte_order.h"
#include "dataplane/net/ipv6_address.h"

namespace sluice {

enum class AddressFault : uint8_t {
  kNone,
  kUnspecified,   // 0.0.0.0/8, ::
  kLoopback,      // 127.0.0.0/8, ::1
  kMulticast,     // 224.0.0.0/4, ff00::/8
  kIpv4Notation,  // ::ffff:0:0/96, ::/96
};

constexpr AddressFault FaultOf(Be32 address) {
  const uint32_t first = address.raw & 0xff;
  if (first == 0) return AddressFault::kUnspecified;
  if (first == 127) return AddressFault::kLoopback;
  return first >> 4 == 14 ? AddressFault::kMulticast : AddressFault::kNone;
}

inline AddressFault FaultOf(const Ipv6Address& address) {
  if (address.IsMulticast()) return AddressFault::kMulticast;
  if (address.IsUnspecified()) return AddressFault::kUnspecified;
  if (address.IsLoopback()) return AddressFault::kLoopback;
  return address.IsV4Mapped() || address.IsV4Compatible() ? AddressFault::kIpv4Notation : AddressFault::kNone;
}

// True if neither address of a packet can have a fault, in few steps; false: FaultOf tells. IPv4's two
// addresses are as a FlowTuple has them.
inline bool AreAddressesPlain(uint64_t ipv4_addresses) {
  const auto is_plain = [](uint32_t first) { return (first - 1 < 223) & (first != 127); };
  return is_plain(ipv4_addresses & 0xff) & is_plain(ipv4_addresses >> 32 & 0xff);
}
inline bool AreAddressesPlain(const Ipv6Address& source, const Ipv6Address& destination) {
  return (source.Word(0) != 0) & (destination.Word(0) != 0) & !source.IsMulticast() &
         !destination.IsMulticast();
}

}  // namespace sluice
