// Builds frames for tests, by name:
// In IPv6 if the addresses are.
//   Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn).Bytes()
// All lengths and checksums are right unless a test overrides them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/headers.h"
#include "dataplane/net/ip_address.h"

namespace sluice {

using FrameBytes = std::vector<uint8_t>;

inline constexpr MacAddress kMacOfSluice{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr MacAddress kMacOfClient{{0x02, 0, 0, 0, 0, 0xc1}};
inline constexpr MacAddress kMacOfServer{{0x02, 0, 0, 0, 0, 0x51}};

class Packet {
 public:
  Packet& From(const std::string& address, uint16_t port);
  Packet& To(const std::string& address, uint16_t port);
  Packet& Macs(const MacAddress& source, const MacAddress& destination);
  Packet& Tcp(uint8_t flags);
  Packet& Udp();
  Packet& Sctp(const std::vector<uint8_t>& chunk_types);  // chunks of eight bytes
  // An ICMP error (of the family of the addresses) that quotes so many bytes of `about` (0: all of it).
  Packet& IcmpErrorAbout(uint8_t type, uint8_t code, uint16_t mtu, const FrameBytes& about,
                         size_t quoted = 0);
  Packet& ZeroUdpChecksum();
  Packet& Payload(const std::string& payload);
  Packet& Ttl(uint8_t ttl);
  Packet& TypeOfService(uint8_t tos);
  Packet& DontFragment();
  Packet& IpOptions(const FrameBytes& options);           // a multiple of four bytes
  Packet& Extensions(const std::vector<uint8_t>& kinds);  // IPv6's: of eight bytes each, with nothing in them
  Packet& EtherType(Be16 type);
  Packet& Vlan(uint16_t id);
  Packet& IpProtocol(uint8_t protocol);  // with the payload after the IP header
  Packet& Fragment(uint16_t offset_units, bool more);
  Packet& BreakTransportChecksum();

  FrameBytes Bytes() const;

 private:
  MacAddress source_mac_ = kMacOfClient;
  MacAddress destination_mac_ = kMacOfSluice;
  IpAddress source_ = *IpAddress::Parse("10.0.0.1");
  IpAddress destination_ = *IpAddress::Parse("10.99.0.1");
  uint16_t source_port_ = 1000;
  uint16_t destination_port_ = 80;
  uint8_t protocol_ = 6;
  bool raw_ip_ = false;
  bool is_fragment_ = false;
  uint8_t tcp_flags_ = kTcpAck;
  bool zero_udp_checksum_ = false;
  bool break_checksum_ = false;
  std::vector<uint8_t> chunk_types_;
  FrameBytes icmp_;
  std::string payload_;
  uint8_t ttl_ = 64;
  uint8_t tos_ = 0;
  uint16_t flags_and_offset_ = 0;
  FrameBytes options_;
  std::vector<uint8_t> extensions_;
  std::optional<Be16> ether_type_;
  std::optional<uint16_t> vlan_;

  FrameBytes TransportBytes() const;
  FrameBytes Ipv4Bytes(size_t payload) const;
  FrameBytes Ipv6Bytes(size_t payload) const;
};

// What is wrong with the IP and transport checksums and lengths of a frame, computed from scratch; empty:
// nothing.
std::string ChecksumFaults(const FrameBytes& frame);
// "10.0.0.1:1000 > 10.99.0.1:80 tcp 02 ttl 64 len 40", for comparison and for people. Tunnels (GUE by its
// usual port, 6080) and ICMP errors come with what is inside: "10.9.0.1 > 10.1.0.1 ipip tos 00 ttl 63 len 60
// [...]".
std::string Describe(const FrameBytes& frame);

}  // namespace sluice
