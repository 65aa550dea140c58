// Protocol headers as they stand in a packet, and the constants that go with them. Fields are packed;
// a pointer to one of these may point anywhere into a frame.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/net/byte_order.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ipv6_address.h"
#include "dataplane/net/mac_address.h"

namespace sluice {

inline constexpr Be16 kEtherTypeIpv4 = Be16::FromHost(0x0800);
inline constexpr Be16 kEtherTypeArp = Be16::FromHost(0x0806);
inline constexpr Be16 kEtherTypeVlan = Be16::FromHost(0x8100);
inline constexpr Be16 kEtherTypeQinQ = Be16::FromHost(0x88a8);
inline constexpr Be16 kEtherTypeIpv6 = Be16::FromHost(0x86dd);

struct __attribute__((packed)) EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14);

// Behind the addresses of a tagged frame's Ethernet header, whose type says so.
struct __attribute__((packed)) VlanTag {
  Be16 priority_and_id;
  Be16 ether_type;

  uint16_t id() const { return priority_and_id.ToHost() & 0x0fff; }
};
static_assert(sizeof(VlanTag) == 4);

inline constexpr Be16 kIpv4DontFragment = Be16::FromHost(0x4000);
inline constexpr Be16 kIpv4MoreFragments = Be16::FromHost(0x2000);
inline constexpr Be16 kIpv4FragmentOffset = Be16::FromHost(0x1fff);
inline constexpr Be16 kIpv4MoreFragmentsOrOffset = Be16::FromHost(0x3fff);

struct __attribute__((packed)) Ipv4Header {
  uint8_t version_and_length;
  uint8_t type_of_service;
  Be16 total_length;
  Be16 identification;
  Be16 flags_and_offset;
  uint8_t time_to_live;
  uint8_t protocol;
  uint16_t checksum;
  Be32 source;
  Be32 destination;

  int header_length() const { return (version_and_length & 0x0f) * 4; }
};
static_assert(sizeof(Ipv4Header) == 20);

// The one's complement sum of a header without options, not folded; 0xffff when folded if its checksum is
// right.
inline uint64_t SumOfPlainHeader(const Ipv4Header& ip) {
  const auto* bytes = reinterpret_cast<const char*>(&ip);
  uint64_t words[2];
  uint32_t last;
  std::memcpy(words, bytes, sizeof words);
  std::memcpy(&last, bytes + sizeof words, sizeof last);
  return AddWithCarry(AddWithCarry(words[0], words[1]), uint64_t{last});
}

struct __attribute__((packed)) Ipv6Header {
  Be32 version_class_label;
  Be16 payload_length;  // of all that follows
  uint8_t next_header;
  uint8_t hop_limit;
  Ipv6Address source;
  Ipv6Address destination;

  uint8_t version() const { return version_class_label.ToHost() >> 28; }
  uint8_t traffic_class() const { return static_cast<uint8_t>(version_class_label.ToHost() >> 20); }
};
static_assert(sizeof(Ipv6Header) == 40);

inline constexpr Be32 FirstWordOfIpv6(uint8_t traffic_class) {
  return Be32::FromHost(uint32_t{6} << 28 | uint32_t{traffic_class} << 20);
}
inline constexpr uint16_t kIpv6LeastMtu = 1280;

// Extension headers, by what the header before calls them.
inline constexpr uint8_t kIpv6HopByHop = 0;
inline constexpr uint8_t kIpv6Routing = 43;
inline constexpr uint8_t kIpv6Fragment = 44;
inline constexpr uint8_t kIpv6Authentication = 51;
inline constexpr uint8_t kIpv6DestinationOptions = 60;

struct __attribute__((packed)) Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  Be16 offset_and_more;  // in units of eight bytes, three bits up; the lowest bit: more follow
  Be32 identification;
};
static_assert(sizeof(Ipv6FragmentHeader) == 8);

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpAck = 0x10;

struct __attribute__((packed)) TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgement;
  uint8_t data_offset;
  uint8_t flags;
  Be16 window;
  uint16_t checksum;
  Be16 urgent;
};
static_assert(sizeof(TcpHeader) == 20);

struct __attribute__((packed)) UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  uint16_t checksum;
};
static_assert(sizeof(UdpHeader) == 8);

struct __attribute__((packed)) IcmpHeader {
  uint8_t type;
  uint8_t code;
  uint16_t checksum;
  Be16 unused;  // or the upper half of IPv6's MTU
  Be16 mtu;     // of "fragmentation needed", "packet too big"
};
static_assert(sizeof(IcmpHeader) == 8);

inline constexpr uint8_t kIcmpEcho = 8;
inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpv6Echo = 128;
inline constexpr uint8_t kIcmpv6EchoReply = 129;
// Destination unreachable, source quench, time exceeded: what IPVS relays.
constexpr bool IsIcmpError(uint8_t type) { return type == 3 || type == 4 || type == 11; }
// Destination unreachable, packet too big, time exceeded: the same of IPv6.
constexpr bool IsIcmpv6Error(uint8_t type) { return type >= 1 && type <= 3; }

struct __attribute__((packed)) SctpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 verification_tag;
  uint32_t checksum;  // CRC32c, least significant byte first
};
static_assert(sizeof(SctpHeader) == 12);

struct __attribute__((packed)) SctpChunkHeader {
  uint8_t type;
  uint8_t flags;
  Be16 length;  // the header included, the padding to four bytes not
};
static_assert(sizeof(SctpChunkHeader) == 4);

}  // namespace sluice
