// The hashes of IPVS's hash schedulers, bit for bit as in Linux 6.1 and 6.12 on 64-bit machines, so that a
// flow goes to the same destination whether Sluice or the kernel schedules it.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/net/flow_key.h"

namespace sluice {

// An address as one number: IPv4 as such, of IPv6 the exclusive or of its four words.
inline uint32_t FoldAddress(const IpAddress& address) {
  uint32_t words[4];
  std::memcpy(words, address.bytes.data(), sizeof words);
  return __builtin_bswap32(words[0] ^ words[1] ^ words[2] ^ words[3]);
}

// The kernel's hash_32 to `bits` bits: multiplication by the golden ratio.
inline uint32_t HashTo(uint32_t value, int bits) { return value * 0x61c88647u >> (32 - bits); }

// SipHash-1-3 of one 32-bit value under the key (key, key), the lower half: the kernel's hsiphash.
inline uint32_t HalfSipHash(uint64_t key, uint32_t value) {
  uint64_t v0 = key ^ 0x736f6d6570736575u;
  uint64_t v1 = key ^ 0x646f72616e646f6du;
  uint64_t v2 = key ^ 0x6c7967656e657261u;
  uint64_t v3 = key ^ 0x7465646279746573u;
  const auto rotate = [](uint64_t word, int by) { return word << by | word >> (64 - by); };
  const auto round = [&] {
    v0 += v1, v1 = rotate(v1, 13), v1 ^= v0, v0 = rotate(v0, 32);
    v2 += v3, v3 = rotate(v3, 16), v3 ^= v2;
    v0 += v3, v3 = rotate(v3, 21), v3 ^= v0;
    v2 += v1, v1 = rotate(v1, 17), v1 ^= v2, v2 = rotate(v2, 32);
  };
  const uint64_t last = uint64_t{4} << 56 | value;  // the length in bytes, and all the bytes there are
  v3 ^= last;
  round();
  v0 ^= last;
  v2 ^= 0xff;
  round();
  round();
  round();
  return static_cast<uint32_t>(v0 ^ v1 ^ v2 ^ v3);
}

}  // namespace sluice
