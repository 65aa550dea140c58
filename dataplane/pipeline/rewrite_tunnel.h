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

// The protocol that an outer IP header names.
uint8_t TunnelProtocol(TunnelType type, bool inner_is_v6);
// One of the host's usual ports for connections of its own, so that networks spread flows. Who does not see
// the flow's packets behind Sluice cannot know it: the hash is keyed.
Be16 GueSourcePort(uint64_t flow_hash);

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
  // The packets they are for.
  struct InnerPackets {
    bool are_v6 = false;
    bool may_be_split = false;
    friend bool operator==(const InnerPackets&, const InnerPackets&) = default;
  };
  // None with a checksum that covers what is inside.
  TunnelHeaders(const TunnelSpec& tunnel, const IpAddress& source, const IpAddress& destination,
                InnerPackets inner);

  // Whether they are of such a tunnel, which may have been edited, and for such packets.
  bool Fit(const TunnelSpec& tunnel, InnerPackets inner) const {
    return length_ != 0 && tunnel == tunnel_ && inner == inner_;
  }
  bool AreFor(bool inner_is_v6) const { return length_ != 0 && inner_is_v6 == inner_.are_v6; }
  bool AreIpv4InIpv4() const { return are_ipv4_in_ipv4_; }
  uint16_t length() const { return length_; }
  // As Encapsulate does, and in front of them the type of an Ethernet header; but where the packet begins is
  // the caller's. REQUIRES: they fit the lane's packet, which has room for them.
  void PutOn(const TunnelPacket& packet, Batch& batch, int lane) const;
  // The same of IPv4 in IPv4. In registers: what is stored in halves cannot be loaded whole at once.
  void PutOnIpv4(uint16_t identification, Batch& batch, int lane) const {
    uint8_t* inner = batch.ip[lane];
    uint8_t* outer = inner - sizeof(Ipv4Header);
    const auto length = static_cast<uint16_t>(batch.ip_length[lane] + sizeof(Ipv4Header));
    uint64_t words[2];
    std::memcpy(words, inner, sizeof words[0]);
    words[0] &= from_inner_;
    if ((words[0] & kEcn) == kEcn) [[unlikely]]
      words[0] ^= kEcnLast;
    words[0] |= uint64_t{Be16::FromHost(length).raw} << 16 |
                uint64_t{Be16::FromHost(identification).raw} << 32 | kVersionAndLength;
    const uint64_t time_to_live = inner[offsetof(Ipv4Header, time_to_live)];
    const uint16_t sum = FoldSum(AddWithCarry(words[0], rest_sum_ + time_to_live));
    std::memcpy(&words[1], bytes_ + sizeof words[0], sizeof words[1]);
    words[1] |= time_to_live | uint64_t{static_cast<uint16_t>(~sum)} << 16;
    uint32_t last;
    std::memcpy(&last, bytes_ + sizeof words, sizeof last);
    batch.ip[lane] = outer;
    batch.ip_length[lane] = length;
    std::memcpy(outer - sizeof kEtherTypeIpv4, &kEtherTypeIpv4, sizeof kEtherTypeIpv4);
    std::memcpy(outer, words, sizeof words);
    std::memcpy(outer + sizeof words, &last, sizeof last);
  }

 private:
  // Parts of an IPv4 header's first eight bytes, as they are loaded.
  static constexpr uint64_t kVersionAndLength = 0x45;
  static constexpr uint64_t kTypeOfService = 0xff00;
  static constexpr uint64_t kEcn = 0x0300;
  static constexpr uint64_t kEcnLast = 0x0100;
  static constexpr uint64_t kDontFragment = uint64_t{kIpv4DontFragment.raw} << 48;

  static constexpr int kMost = sizeof(Ipv6Header) + sizeof(UdpHeader) + kGueHeader;

  TunnelSpec tunnel_;
  uint8_t length_ = 0;  // 0: none
  InnerPackets inner_;
  bool outer_is_v6_ = false;
  bool is_gue_ = false;
  bool are_ipv4_in_ipv4_ = false;
  Be16 ether_type_;
  uint16_t sum_ = 0;         // of an outer IPv4 header
  uint16_t rest_sum_ = 0;    // of it without the first eight bytes
  uint64_t from_inner_ = 0;  // of those: what the inner header says
  uint8_t bytes_[kMost] = {};
};

}  // namespace sluice
