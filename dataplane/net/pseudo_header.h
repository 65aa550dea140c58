// The part of the IP header that TCP's, UDP's and ICMPv6's checksums cover, as a sum of one's complement.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace sluice {

inline uint64_t SumOfPseudoHeader(Be32 source, Be32 destination, uint8_t protocol, uint32_t length) {
  return uint64_t{source.raw} + destination.raw + Be16::FromHost(protocol).raw + Be32::FromHost(length).raw;
}
inline uint64_t SumOfPseudoHeader(const Ipv6Address& source, const Ipv6Address& destination, uint8_t protocol,
                                  uint32_t length) {
  return SumBytes(source.bytes.data(), 16) + SumBytes(destination.bytes.data(), 16) +
         Be16::FromHost(protocol).raw + Be32::FromHost(length).raw;
}

// A UDP checksum of zero would say that there is none.
inline uint16_t UdpChecksumOf(uint64_t sum) {
  const auto checksum = static_cast<uint16_t>(~FoldSum(sum));
  return checksum == 0 ? uint16_t{0xffff} : checksum;
}

}  // namespace sluice
