// Where a packet begins, and what is in front of its IP header when it leaves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/config/forwarding.h"
#include "dataplane/net/headers.h"

namespace sluice {

// The most that is put in front of an IP header: an Ethernet header with a tag.
inline constexpr int kMostInFront = 18;

inline bool IsV6Header(const uint8_t* ip) { return *ip >> 4 == 6; }

inline uint32_t BytesBefore(const rte_mbuf& packet, const uint8_t* ip) {
  return static_cast<uint32_t>(ip - rte_pktmbuf_mtod(&packet, const uint8_t*));
}

// Whether headers can begin at `ip`, and an Ethernet header in front of them.
inline bool HasRoomFor(const rte_mbuf& packet, const uint8_t* ip) {
  return ip - kMostInFront >= static_cast<const uint8_t*>(packet.buf_addr);
}

// Takes away from the front, or gives back what is there. REQUIRES: in the first segment's buffer.
inline void BeginAt(rte_mbuf& packet, const uint8_t* start) {
  const auto change = static_cast<int32_t>(start - rte_pktmbuf_mtod(&packet, const uint8_t*));
  if (change == 0) return;
  packet.data_off = static_cast<uint16_t>(packet.data_off + change);
  packet.data_len = static_cast<uint16_t>(packet.data_len - change);
  packet.pkt_len = static_cast<uint32_t>(static_cast<int32_t>(packet.pkt_len) - change);
}

// Time to live becomes one less, unless it is used up: false. The checksum by RFC 1141, with the carry added
// back.
inline bool TakeHop(Ipv4Header& ip) {
  if (ip.time_to_live <= 1) return false;
  --ip.time_to_live;
  const uint32_t sum = uint32_t{ip.checksum} + Be16::FromHost(0x0100).raw;
  ip.checksum = static_cast<uint16_t>(sum + (sum >> 16));
  return true;
}
inline bool TakeHop(Ipv6Header& ip) {
  if (ip.hop_limit <= 1) return false;
  --ip.hop_limit;
  return true;
}

// The Ethernet header of a packet that leaves over a wire.
inline void PutEthernet(rte_mbuf& packet, uint8_t* ip, const NextHop& hop) {
  const Be16 ether_type = IsV6Header(ip) ? kEtherTypeIpv6 : kEtherTypeIpv4;
  uint8_t* start = ip - sizeof(EthernetHeader);
  if (hop.vlan != 0) {
    start -= sizeof(VlanTag);
    *reinterpret_cast<VlanTag*>(ip - sizeof(VlanTag)) = {Be16::FromHost(hop.vlan), ether_type};
  }
  BeginAt(packet, start);
  *reinterpret_cast<EthernetHeader*>(start) = {hop.destination, hop.source,
                                               hop.vlan != 0 ? kEtherTypeVlan : ether_type};
}

// What is in front of the IP header of a packet that the kernel sends: its next stop, which is not always in
// it.
using KernelOutputHeader = IpAddress;

inline void PutNextStop(rte_mbuf& packet, uint8_t* ip, const IpAddress& next_stop) {
  BeginAt(packet, ip - sizeof(KernelOutputHeader));
  std::memcpy(ip - sizeof next_stop, &next_stop, sizeof next_stop);
}

}  // namespace sluice
