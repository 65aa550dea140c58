// A flow as the data path has it: two machine words, compared and hashed as such.
// IPv4 addresses are there as they are. Of IPv6 addresses there is a word each (AddressWord in flow_hash.h):
// where two tuples of IPv6 are equal, the addresses must yet be compared (FlowAddresses).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/flow_key.h"

namespace sluice {

struct FlowTuple {
  uint64_t addresses = 0;  // source in the low half, destination in the high half, as on the wire
  uint64_t rest = 0;       // source port, destination port (as on the wire), protocol << 32, IPv6 << 40

  static FlowTuple Of(Be32 source, Be32 destination, Be16 source_port, Be16 destination_port,
                      Protocol protocol, bool is_v6 = false) {
    return {source.raw | uint64_t{destination.raw} << 32,
            source_port.raw | uint64_t{destination_port.raw} << 16 |
                uint64_t{static_cast<uint8_t>(protocol)} << 32 | uint64_t{is_v6} << 40};
  }
  bool IsV6() const { return rest >> 40; }
  // The addresses, or what stands for them in IPv6.
  Be32 source() const { return {static_cast<uint32_t>(addresses)}; }
  Be32 destination() const { return {static_cast<uint32_t>(addresses >> 32)}; }
  Be16 source_port() const { return {static_cast<uint16_t>(rest)}; }
  Be16 destination_port() const { return {static_cast<uint16_t>(rest >> 16)}; }
  Protocol protocol() const { return static_cast<Protocol>(static_cast<uint8_t>(rest >> 32)); }
  FlowTuple Reversed() const {
    return {addresses >> 32 | addresses << 32,
            (rest & ~uint64_t{0xffffffff}) | (rest >> 16 & 0xffff) | (rest & 0xffff) << 16};
  }
  friend bool operator==(const FlowTuple&, const FlowTuple&) = default;
};

// Both addresses of an IPv6 flow.
struct FlowAddresses {
  Ipv6Address source;
  Ipv6Address destination;

  friend bool operator==(const FlowAddresses&, const FlowAddresses&) = default;
};

}  // namespace sluice
