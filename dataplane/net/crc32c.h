// CRC32c, as SCTP has it (RFC 9260, appendix A), by the processor's own instruction.
// Threads: a pure function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

// Goes on with `crc` (first: kCrc32cStart; the result is the complement of the last).
inline constexpr uint32_t kCrc32cStart = 0xffffffff;
inline uint32_t Crc32c(uint32_t crc, const uint8_t* bytes, size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; length > 0; ++bytes, --length) crc = _mm_crc32_u8(crc, *bytes);
  return crc;
}

}  // namespace sluice
