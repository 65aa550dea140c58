// The keyed hash of a packet's five fields. The key is secret and new at every start, so that nobody
// outside can choose packets that meet in one bucket.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/flow_key.h"

namespace sluice {

// A flow as an IPv4 packet has it: two machine words, compared and hashed as such.
struct Ipv4Tuple {
  uint64_t addresses = 0;  // source in the low half, destination in the high half, as on the wire
  uint64_t rest = 0;       // source port, destination port (as on the wire), protocol << 32

  static Ipv4Tuple Of(Be32 source, Be32 destination, Be16 source_port, Be16 destination_port,
                      Protocol protocol) {
    return {source.raw | uint64_t{destination.raw} << 32, source_port.raw |
                                                              uint64_t{destination_port.raw} << 16 |
                                                              uint64_t{static_cast<uint8_t>(protocol)} << 32};
  }
  Be32 source() const { return {static_cast<uint32_t>(addresses)}; }
  Be32 destination() const { return {static_cast<uint32_t>(addresses >> 32)}; }
  Be16 source_port() const { return {static_cast<uint16_t>(rest)}; }
  Be16 destination_port() const { return {static_cast<uint16_t>(rest >> 16)}; }
  Protocol protocol() const { return static_cast<Protocol>(rest >> 32); }
  Ipv4Tuple Reversed() const {
    return {addresses >> 32 | addresses << 32,
            (rest & ~uint64_t{0xffffffff}) | (rest >> 16 & 0xffff) | (rest & 0xffff) << 16};
  }
  FlowKey ToFlowKey() const {
    return {IpAddress::FromV4(source()), IpAddress::FromV4(destination()), source_port(), destination_port(),
            protocol()};
  }
  friend bool operator==(const Ipv4Tuple&, const Ipv4Tuple&) = default;
};

struct HashSecret {
  uint64_t words[4] = {};
  static HashSecret Random();  // from the kernel's random source
};

// Product of two words folded into one: every input bit reaches every output bit.
inline uint64_t FoldedMultiply(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t FlowHash(const Ipv4Tuple& tuple, const HashSecret& secret) {
  const uint64_t mixed = FoldedMultiply(tuple.addresses ^ secret.words[0], tuple.rest ^ secret.words[1]);
  return FoldedMultiply(mixed ^ secret.words[2], secret.words[3]);
}

// Which worker owns the flows of a client endpoint: the same for both directions.
inline uint32_t OwnerOfClient(Be32 address, Be16 port, Protocol protocol, const HashSecret& secret,
                              uint32_t workers) {
  const uint64_t mixed = FoldedMultiply(
      (address.raw | uint64_t{port.raw} << 32 | uint64_t{static_cast<uint8_t>(protocol)} << 48) ^
          secret.words[1],
      secret.words[3]);
  return static_cast<uint32_t>((mixed >> 32) * workers >> 32);
}

}  // namespace sluice
