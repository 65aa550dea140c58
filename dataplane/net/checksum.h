// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are kept in the byte
// order of the packet: the arithmetic does not care.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline uint16_t FoldSum(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

// The one's complement sum of `length` bytes at any address, not folded.
uint64_t SumBytes(const void* bytes, size_t length);

// What to add to a sum when a field changes from `before` to `after`; both as on the wire.
inline uint64_t SumOfChange32(uint32_t before, uint32_t after) {
  return uint64_t{static_cast<uint32_t>(~before)} + after;
}
inline uint64_t SumOfChange16(uint16_t before, uint16_t after) {
  return uint64_t{static_cast<uint16_t>(~before)} + after;
}

// RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). `delta` is the folded sum of changes.
inline uint16_t UpdateChecksum(uint16_t checksum, uint16_t delta) {
  const uint32_t sum = static_cast<uint32_t>(static_cast<uint16_t>(~checksum)) + delta;
  return static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16)));
}

// The checksum of a TCP or UDP segment under its IPv4 pseudo header; addresses as on the wire.
uint16_t Ipv4TransportChecksum(uint32_t source, uint32_t destination, uint8_t protocol, const void* segment,
                               size_t length);

}  // namespace sluice
