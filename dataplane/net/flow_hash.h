// The keyed hash of a packet's five fields. The key is secret and new at every start, so that nobody
// outside can choose packets that meet in one bucket.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/net/flow_tuple.h"

namespace sluice {

struct HashSecret {
  uint64_t words[4] = {};
  static HashSecret Random();  // from the kernel's random source
};

// Product of two words folded into one: every input bit reaches every output bit.
inline uint64_t FoldedMultiply(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// The word of an address in a FlowTuple: an IPv4 address is its own.
inline Be32 AddressWord(const Ipv6Address& address, const HashSecret& secret) {
  const uint64_t mixed = FoldedMultiply(address.Word(0) ^ secret.words[2], address.Word(1) ^ secret.words[3]);
  return {static_cast<uint32_t>(mixed ^ mixed >> 32)};
}
inline Be32 AddressWord(const IpAddress& address, const HashSecret& secret) {
  return address.IsV4() ? address.V4() : AddressWord(address.V6(), secret);
}

inline uint64_t FlowHash(const FlowTuple& tuple, const HashSecret& secret) {
  const uint64_t mixed = FoldedMultiply(tuple.addresses ^ secret.words[0], tuple.rest ^ secret.words[1]);
  return FoldedMultiply(mixed ^ secret.words[2], secret.words[3]);
}

// Which worker owns the flows of a client endpoint: the same for both directions. In IPv6 by its AddressWord.
inline uint32_t OwnerOfClient(Be32 address, Be16 port, Protocol protocol, const HashSecret& secret,
                              uint32_t workers) {
  const uint64_t mixed = FoldedMultiply(
      (address.raw | uint64_t{port.raw} << 32 | uint64_t{static_cast<uint8_t>(protocol)} << 48) ^
          secret.words[1],
      secret.words[3]);
  return static_cast<uint32_t>((mixed >> 32) * workers >> 32);
}

// The same question, of those who see addresses.
struct FlowOwners {
  HashSecret secret;
  uint32_t workers = 1;

  uint32_t OwnerOf(const IpAddress& address, Be16 port, Protocol protocol) const {
    return OwnerOfClient(AddressWord(address, secret), port, protocol, secret, workers);
  }
};

}  // namespace sluice
