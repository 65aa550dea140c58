// A frame taken apart, independently of the pipeline's parser and slowly: the oracle's eyes.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/fuzz/pipeline_fuzz/address.h"

namespace sluice::fuzz {

using FrameBytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;

inline constexpr uint8_t kTcp = 6, kUdp = 17, kSctp = 132, kIcmp = 1, kIcmpv6 = 58;

inline uint16_t Get16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }
// The first bytes, for people.
std::string Hex(ByteSpan bytes);
inline void Set16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
// RFC 1071, byte by byte.
uint16_t PlainSum(ByteSpan bytes, uint32_t sum = 0);
// CRC32c, bit by bit.
uint32_t PlainCrc32c(ByteSpan bytes);

// The IP packet in front of some bytes.
struct IpView {
  ByteSpan bytes;  // all of the packet that is there
  bool is_v6 = false;
  uint32_t total = 0;   // as its header says
  uint32_t header = 0;  // all headers in front of the transport, extensions included
  uint8_t protocol = 0;
  uint8_t ttl = 0;
  bool dont_fragment = false;
  uint32_t fragment_offset = 0;  // in bytes
  bool more_fragments = false;
  uint32_t identification = 0;
  bool has_extensions = false;  // or options
  Address source;
  Address destination;

  bool IsWhole() const { return bytes.size() >= total; }
  bool IsFragment() const { return fragment_offset != 0 || more_fragments; }
  bool IsBalanced() const { return protocol == kTcp || protocol == kUdp || protocol == kSctp; }
  bool HasPorts() const { return IsBalanced() && fragment_offset == 0 && bytes.size() >= header + 4; }
  // REQUIRES: HasPorts
  uint16_t source_port() const { return Get16(&bytes[header]); }
  uint16_t destination_port() const { return Get16(&bytes[header + 2]); }
  ByteSpan payload() const {
    const size_t end = total < bytes.size() ? total : bytes.size();
    return header <= end ? bytes.subspan(header, end - header) : ByteSpan{};
  }
  std::string ToText() const;
};

// Nothing: it is none, or its headers are cut. With `may_be_cut` what is behind the headers may be missing,
// and lengths may be wrong, as in an ICMP error.
std::optional<IpView> LookAtIp(ByteSpan bytes, bool may_be_cut = false);

struct FrameView {
  std::array<uint8_t, 6> destination_mac{};
  std::array<uint8_t, 6> source_mac{};
  std::optional<uint16_t> vlan;
  uint16_t ether_type = 0;
  size_t ip_at = 0;
  std::optional<IpView> ip;
};
FrameView LookAtFrame(ByteSpan frame);

enum class Soundness { kRight, kWrong, kNobodyKnows };
bool IsIpv4HeaderSound(const IpView& ip);
// Soundness of the transport's checksum; of a packet that is not whole nobody knows.
Soundness TransportSoundness(const IpView& ip);

}  // namespace sluice::fuzz
