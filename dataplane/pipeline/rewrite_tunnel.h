// Tunnels: a packet to a real server inside another: IPIP, GUE or GRE; either family in either.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/spec.h"
#include "dataplane/pipeline/batch.h"

namespace sluice {

inline constexpr uint8_t kProtocolIpip = 4;
inline constexpr uint8_t kProtocolIpv6 = 41;
inline constexpr uint8_t kProtocolGre = 47;
inline constexpr uint32_t kGueHeader = 4;

// No way is taken to take less, whoever says so: as in Linux (net.ipv4.route.min_pmtu).
constexpr uint16_t LeastPathMtu(bool is_v6) { return is_v6 ? kIpv6LeastMtu : uint16_t{552}; }

// How much longer a packet becomes.
uint16_t TunnelOverhead(const TunnelSpec& tunnel, bool outer_is_v6);

struct TunnelEnds {
  IpAddress source;
  IpAddress destination;        // of the same family
  uint64_t flow_hash = 0;       // GUE's source port follows from it
  uint16_t identification = 0;  // of an outer IPv4 header
  bool may_be_split = false;    // whatever the inner header says
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
    return length_ != 0 && inner_is_v6 == inner_is_v6_ && tunnel == tunnel_;
  }
  uint16_t length() const { return length_; }
  // As Encapsulate does. REQUIRES: they fit the lane's packet, which has room for them.
  void PutOn(const TunnelEnds& ends, Batch& batch, int lane) const;
  Be16 ether_type() const { return outer_is_v6_ ? kEtherTypeIpv6 : kEtherTypeIpv4; }

 private:
  static constexpr int kMost = sizeof(Ipv6Header) + sizeof(UdpHeader) + kGueHeader;

  TunnelSpec tunnel_;
  uint8_t length_ = 0;  // 0: none
  bool inner_is_v6_ = false;
  bool outer_is_v6_ = false;
  bool is_gue_ = false;
  uint16_t sum_ = 0;  // of an outer IPv4 header
  uint8_t bytes_[kMost] = {};
};

}  // namespace sluice
