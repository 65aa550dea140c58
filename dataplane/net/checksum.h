// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are kept in the byte
// order of the packet: the arithmetic does not care.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice {

// Both halves added to each other, rotated: the upper one gets the carry of the lower.
inline uint16_t FoldSum(uint64_t sum) {
  sum += std::rotr(sum, 32);
  auto half = static_cast<uint32_t>(sum >> 32);
  half += std::rotr(half, 16);
  return static_cast<uint16_t>(half >> 16);
}

// One's complement addition: what is carried out comes in again.
template <class Word>
Word AddWithCarry(Word a, Word b) {
  Word sum;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return static_cast<Word>(sum + carry);
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
  return static_cast<uint16_t>(~AddWithCarry(static_cast<uint16_t>(~checksum), delta));
}

// The checksum of a TCP or UDP segment under its IPv4 pseudo header; addresses as on the wire.
uint16_t Ipv4TransportChecksum(uint32_t source, uint32_t destination, uint8_t protocol, const void* segment,
                               size_t length);

}  // namespace sluice
