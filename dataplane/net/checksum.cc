// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/checksum.h"

#include <cstring>

namespace sluice {

uint64_t SumBytes(const void* bytes, size_t length) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  uint64_t sum = 0;
  // 32-bit words into a 64-bit sum: no carry is lost below 16 GiB.
  for (; length >= 4; at += 4, length -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (length >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
    length -= 2;
  }
  if (length != 0) sum += *at;
  return sum;
}

uint16_t Ipv4TransportChecksum(uint32_t source, uint32_t destination, uint8_t protocol, const void* segment,
                               size_t length) {
  uint64_t sum = SumBytes(segment, length);
  sum += uint64_t{source} + destination;
  sum += __builtin_bswap16(protocol);
  sum += __builtin_bswap16(static_cast<uint16_t>(length));
  return static_cast<uint16_t>(~FoldSum(sum));
}

}  // namespace sluice
