// Tunnels: a packet to a real server inside another: IPIP, GUE or GRE; either family in either.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "dataplane/config/spec.h"
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/batch.h"

namespace sluice {

inline constexpr uint8_t kProtocolIpip = 4;
inline constexpr uint8_t kProtocolIpv6 = 41;
inline constexpr uint8_t kProtocolGre = 47;
inline constexpr uint32_t kGueHeader = 4;

// No way is taken to take less, whoever says so: as in Linux (net.ipv4.route.min_pmtu).
constexpr uint16_t LeastPathMtu(bool is_v6) { return is_v6 ? kIpv6LeastMtu : uint16_t{552}; }

// A congestion mark of the inner packet is not repeated outside.
inline uint8_t OuterTypeOfService(uint8_t inner) {
  constexpr uint8_t kEcnMask = 3;
  constexpr uint8_t kCongestion = 3;
  constexpr uint8_t kCapable = 2;
  return (inner & kEcnMask) == kCongestion ? (inner & ~kEcnMask) | kCapable : inner;
}

// How much longer a packet becomes.
uint16_t TunnelOverhead(const TunnelSpec& tunnel, bool outer_is_v6);

// What the outer headers say of one packet, besides what its own header does.
struct TunnelPacket {
  uint64_t flow_hash = 0;       // GUE's source port follows from it
  uint16_t identification = 0;  // of an outer IPv4 header
  bool may_be_split = false;    // whatever the inner header says
};

struct TunnelEnds {
  IpAddress source;
  IpAddress destination;  // of the same family
  TunnelPacket packet = {};
};

// Puts the outer headers in front of the lane's packet, whose `ip` and `ip_length` are theirs from then on.
// Time to live, type of service (RFC 6040, with full functionality) and, from IPv4 to IPv4, "don't fragment"
// are the inner header's. False: there is no room.
bool Encapsulate(const TunnelSpec& tunnel, const TunnelEnds& ends, Batch& batch, int lane);

// The same in few steps: outer headers as they are before they know their packet.
class TunnelHeaders {
 public:
  TunnelHeaders() = default;
  // None with a checksum that covers what is inside.
  TunnelHeaders(const TunnelSpec& tunnel, const IpAddress& source, const IpAddress& destination,
                bool inner_is_v6);

  // Whether they are of such a tunnel, which may have been edited, and for packets of this family.
  bool Fit(const TunnelSpec& tunnel, bool inner_is_v6) const {
    return AreFor(inner_is_v6) && tunnel == tunnel_;
  }
  bool AreFor(bool inner_is_v6) const { return length_ != 0 && inner_is_v6 == inner_is_v6_; }
  uint16_t length() const { return length_; }
  // As Encapsulate does, and in front of them the type of an Ethernet header; but where the packet begins is
  // the caller's. REQUIRES: they fit the lane's packet, which has room for them.
  void PutOn(const TunnelPacket& packet, Batch& batch, int lane) const {
    if (is_ipv4_in_ipv4_) {
      PutOnIpv4(packet, batch, lane);
    } else {
      PutOnAny(packet, batch, lane);
    }
  }

 private:
  void PutOnIpv4(const TunnelPacket& packet, Batch& batch, int lane) const {
    const Ipv4Header& inner = batch.v4(lane);
    uint8_t* outer = batch.ip[lane] - sizeof(Ipv4Header);
    const auto length = static_cast<uint16_t>(batch.ip_length[lane] + sizeof(Ipv4Header));
    // In registers: what is stored in halves cannot be loaded whole at once.
    const uint64_t type_of_service = uint64_t{OuterTypeOfService(inner.type_of_service)} << 8;
    const uint64_t total_length = Be16::FromHost(length).raw;
    const uint64_t identification = Be16::FromHost(packet.identification).raw;
    const uint64_t flags = packet.may_be_split ? 0 : inner.flags_and_offset.raw & kIpv4DontFragment.raw;
    const uint64_t time_to_live = inner.time_to_live;
    const uint64_t checksum = static_cast<uint16_t>(
        ~FoldSum(sum_ + type_of_service + total_length + identification + flags + time_to_live));
    uint64_t words[2];
    std::memcpy(words, bytes_, sizeof words);
    words[0] |= type_of_service | total_length << 16 | identification << 32 | flags << 48;
    words[1] |= time_to_live | checksum << 16;
    std::memcpy(outer, &words[0], sizeof words[0]);
    std::memcpy(outer + sizeof words[0], &words[1], sizeof words[1]);
    std::memcpy(outer + sizeof words, bytes_ + sizeof words, sizeof(Be32));
    std::memcpy(outer - sizeof ether_type_, &ether_type_, sizeof ether_type_);
    batch.ip[lane] = outer;
    batch.ip_length[lane] = length;
  }
  void PutOnAny(const TunnelPacket& packet, Batch& batch, int lane) const;

  static constexpr int kMost = sizeof(Ipv6Header) + sizeof(UdpHeader) + kGueHeader;

  TunnelSpec tunnel_;
  uint8_t length_ = 0;  // 0: none
  bool inner_is_v6_ = false;
  bool outer_is_v6_ = false;
  bool is_gue_ = false;
  bool is_ipv4_in_ipv4_ = false;
  Be16 ether_type_;
  uint16_t sum_ = 0;  // of an outer IPv4 header
  uint8_t bytes_[kMost] = {};
};

}  // namespace sluice
