// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_builder.h"

#include <cstdio>
#include <cstring>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

// RFC 1071 the slow way: the oracle of dataplane/net/checksum.h.
uint16_t PlainSum(const uint8_t* bytes, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if (length & 1) sum += bytes[length - 1] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t PseudoHeader(const uint8_t* ip, uint8_t protocol, size_t length) {
  return PlainSum(ip + 12, 8, 0) + protocol + static_cast<uint32_t>(length);
}

void Put16(FrameBytes& bytes, uint16_t value) {
  bytes.push_back(value >> 8);
  bytes.push_back(value & 0xff);
}
void Set16(uint8_t* at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value & 0xff;
}
uint16_t Get16(const uint8_t* at) { return at[0] << 8 | at[1]; }

// CRC32c bit by bit: an oracle for what uses the processor's instruction.
uint32_t BitwiseCrc32c(const FrameBytes& bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) ? 0x82f63b78 : 0);
  }
  return ~crc;
}

}  // namespace

Packet& Packet::From(const std::string& address, uint16_t port) {
  source_ = IpAddress::Parse(address).value();
  source_port_ = port;
  return *this;
}
Packet& Packet::To(const std::string& address, uint16_t port) {
  destination_ = IpAddress::Parse(address).value();
  destination_port_ = port;
  return *this;
}
Packet& Packet::Macs(const MacAddress& source, const MacAddress& destination) {
  source_mac_ = source;
  destination_mac_ = destination;
  return *this;
}
Packet& Packet::Tcp(uint8_t flags) {
  protocol_ = 6;
  tcp_flags_ = flags;
  return *this;
}
Packet& Packet::Udp() {
  protocol_ = 17;
  return *this;
}
Packet& Packet::Sctp(const std::vector<uint8_t>& chunk_types) {
  protocol_ = 132;
  chunk_types_ = chunk_types;
  return *this;
}
Packet& Packet::IcmpErrorAbout(uint8_t type, uint8_t code, uint16_t mtu, const FrameBytes& about,
                               size_t quoted) {
  protocol_ = 1;
  raw_ip_ = true;
  icmp_ = {type, code, 0, 0, 0, 0, static_cast<uint8_t>(mtu >> 8), static_cast<uint8_t>(mtu)};
  const size_t all = about.size() - 14;
  icmp_.insert(icmp_.end(), about.begin() + 14,
               about.begin() + 14 + static_cast<std::ptrdiff_t>(quoted == 0 ? all : quoted));
  return *this;
}
Packet& Packet::ZeroUdpChecksum() {
  zero_udp_checksum_ = true;
  return *this;
}
Packet& Packet::Payload(const std::string& payload) {
  payload_ = payload;
  return *this;
}
Packet& Packet::Ttl(uint8_t ttl) {
  ttl_ = ttl;
  return *this;
}
Packet& Packet::TypeOfService(uint8_t tos) {
  tos_ = tos;
  return *this;
}
Packet& Packet::DontFragment() {
  flags_and_offset_ |= 0x4000;
  return *this;
}
Packet& Packet::IpOptions(const FrameBytes& options) {
  SLUICE_CHECK(options.size() % 4 == 0 && options.size() <= 40);
  options_ = options;
  return *this;
}
Packet& Packet::EtherType(Be16 type) {
  ether_type_ = type;
  return *this;
}
Packet& Packet::Vlan(uint16_t id) {
  vlan_ = id;
  return *this;
}
Packet& Packet::IpProtocol(uint8_t protocol) {
  protocol_ = protocol;
  raw_ip_ = true;
  return *this;
}
Packet& Packet::Fragment(uint16_t offset_units, bool more) {
  flags_and_offset_ = offset_units | (more ? 0x2000 : 0);
  return *this;
}
Packet& Packet::BreakTransportChecksum() {
  break_checksum_ = true;
  return *this;
}

FrameBytes Packet::Bytes() const {
  FrameBytes frame;
  frame.insert(frame.end(), destination_mac_.bytes.begin(), destination_mac_.bytes.end());
  frame.insert(frame.end(), source_mac_.bytes.begin(), source_mac_.bytes.end());
  if (vlan_) {
    Put16(frame, 0x8100);
    Put16(frame, *vlan_);
  }
  Put16(frame, ether_type_.ToHost());
  const size_t ip_start = frame.size();

  FrameBytes transport;
  if (!raw_ip_) {
    Put16(transport, source_port_);
    Put16(transport, destination_port_);
    if (protocol_ == 6) {
      const uint8_t rest[] = {0, 0, 0, 1, 0, 0, 0, 2, 0x50, tcp_flags_, 0x20, 0, 0, 0, 0, 0};
      transport.insert(transport.end(), std::begin(rest), std::end(rest));
    } else if (protocol_ == 132) {
      const uint8_t rest[] = {0, 0, 0, 7, 0, 0, 0, 0};
      transport.insert(transport.end(), std::begin(rest), std::end(rest));
      for (const uint8_t type : chunk_types_) transport.insert(transport.end(), {type, 0, 0, 8, 1, 2, 3, 4});
    } else {
      Put16(transport, static_cast<uint16_t>(8 + payload_.size()));
      Put16(transport, 0);
    }
  }
  transport.insert(transport.end(), payload_.begin(), payload_.end());
  if (!icmp_.empty()) {
    transport = icmp_;
    Set16(transport.data() + 2, static_cast<uint16_t>(~PlainSum(transport.data(), transport.size(), 0) ^
                                                      (break_checksum_ ? 0x0101 : 0)));
  }

  const size_t header = 20 + options_.size();
  frame.push_back(static_cast<uint8_t>(0x40 | header / 4));
  frame.push_back(tos_);
  Put16(frame, static_cast<uint16_t>(header + transport.size()));
  Put16(frame, 0x1234);
  Put16(frame, flags_and_offset_);
  frame.push_back(ttl_);
  frame.push_back(protocol_);
  Put16(frame, 0);
  frame.insert(frame.end(), source_.bytes.begin() + 12, source_.bytes.end());
  frame.insert(frame.end(), destination_.bytes.begin() + 12, destination_.bytes.end());
  frame.insert(frame.end(), options_.begin(), options_.end());
  uint8_t* ip = frame.data() + ip_start;
  Set16(ip + 10, ~PlainSum(ip, header, 0));

  if (protocol_ == 132 && !raw_ip_) {
    const uint32_t crc = BitwiseCrc32c(transport) ^ (break_checksum_ ? 1 : 0);
    std::memcpy(transport.data() + 8, &crc, 4);
  } else if (!raw_ip_ && !(protocol_ == 17 && zero_udp_checksum_)) {
    const size_t at = protocol_ == 6 ? 16 : 6;
    uint16_t checksum =
        ~PlainSum(transport.data(), transport.size(), PseudoHeader(ip, protocol_, transport.size()));
    if (protocol_ == 17 && checksum == 0) checksum = 0xffff;
    if (break_checksum_) checksum ^= 0x0101;
    Set16(transport.data() + at, checksum);
  }
  frame.insert(frame.end(), transport.begin(), transport.end());
  return frame;
}

std::string ChecksumFaults(const FrameBytes& frame) {
  const uint8_t* ip = frame.data() + 14;
  const size_t header = (ip[0] & 15) * 4u;
  const size_t total = Get16(ip + 2);
  if (frame.size() < 14 + total) return "frame is shorter than the IP total length";
  if (PlainSum(ip, header, 0) != 0xffff) return "IP header checksum is wrong";
  const uint8_t* transport = ip + header;
  const size_t length = total - header;
  const bool is_gue = ip[9] == 17 && Get16(transport + 2) == 6080;
  if (is_gue && Get16(transport + 6) == 0) return "";
  if (ip[9] != 6 && ip[9] != 17 && ip[9] != 132) return "";  // Describe looks into these
  if (ip[9] == 17 && Get16(transport + 6) == 0) return "UDP checksum is zero";
  if (ip[9] == 132) {
    FrameBytes packet(transport, transport + length);
    uint32_t stated;
    std::memcpy(&stated, packet.data() + 8, 4);
    std::memset(packet.data() + 8, 0, 4);
    return stated == BitwiseCrc32c(packet) ? "" : "transport checksum is wrong";
  }
  if (PlainSum(transport, length, PseudoHeader(ip, ip[9], length)) != 0xffff)
    return "transport checksum is wrong";
  return "";
}

namespace {

constexpr uint16_t kGuePort = 6080;

std::string Address(const uint8_t* bytes) {
  char text[16];
  std::snprintf(text, sizeof text, "%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]);
  return text;
}

// What is about the IP header of a packet around another: not its identification, which is anybody's.
std::string DescribeOuter(const uint8_t* ip, const char* what) {
  char text[160];
  std::snprintf(text, sizeof text, "%s > %s %s tos %02x%s ttl %d len %d", Address(ip + 12).c_str(),
                Address(ip + 16).c_str(), what, ip[1], (ip[6] & 0x40) != 0 ? " df" : "", ip[8],
                Get16(ip + 2));
  return text;
}

// `quoted`: so many bytes are there.
std::string DescribeIp(const uint8_t* ip, size_t quoted = 65535);

std::string DescribeGre(const uint8_t* ip) {
  const uint8_t* gre = ip + 20;
  const bool has_checksum = (gre[0] & 0x80) != 0;
  const bool is_sound = !has_checksum || PlainSum(gre, Get16(ip + 2) - 20u, 0) == 0xffff;
  char what[48];
  std::snprintf(what, sizeof what, "gre %04x %04x%s", Get16(gre), Get16(gre + 2),
                is_sound ? "" : " wrong checksum");
  return DescribeOuter(ip, what) + " [" + DescribeIp(gre + (has_checksum ? 8 : 4)) + "]";
}

std::string DescribeIcmpError(const uint8_t* ip) {
  const uint8_t* icmp = ip + 20;
  const bool is_sound = PlainSum(icmp, Get16(ip + 2) - 20u, 0) == 0xffff;
  char what[64];
  std::snprintf(what, sizeof what, "icmp %d/%d mtu %d%s", icmp[0], icmp[1], Get16(icmp + 6),
                is_sound ? "" : " wrong checksum");
  return DescribeOuter(ip, what) + " [" + DescribeIp(icmp + 8, Get16(ip + 2) - 28u) + "]";
}

// Of the UDP checksum it is said whether there is one; ChecksumFaults says whether it is right.
std::string DescribeGue(const uint8_t* ip) {
  const uint8_t* udp = ip + 20;
  char what[64];
  std::snprintf(what, sizeof what, "gue %d %s %02x%02x%02x%02x", Get16(udp + 2),
                Get16(udp + 6) == 0 ? "without checksum" : "with checksum", udp[8], udp[9], udp[10], udp[11]);
  return DescribeOuter(ip, what) + " [" + DescribeIp(udp + 12) + "]";
}

std::string DescribeIp(const uint8_t* ip, size_t quoted) {
  const size_t header = (ip[0] & 15) * 4u;
  const uint8_t* transport = ip + header;
  if (ip[9] == 1) return DescribeIcmpError(ip);
  if (ip[9] == 4) return DescribeOuter(ip, "ipip") + " [" + DescribeIp(transport) + "]";
  if (ip[9] == 47) return DescribeGre(ip);
  if (ip[9] == 17 && Get16(transport + 2) == kGuePort) return DescribeGue(ip);
  char protocol[16] = "udp";
  if (ip[9] == 6)
    std::snprintf(protocol, sizeof protocol, "tcp %02x", quoted < header + 14 ? 0 : transport[13]);
  if (ip[9] == 132)
    std::snprintf(protocol, sizeof protocol, "sctp %d", quoted < header + 13 ? 0 : transport[12]);
  char text[160];
  std::snprintf(text, sizeof text, "%s:%d > %s:%d %s ttl %d len %d", Address(ip + 12).c_str(),
                Get16(transport), Address(ip + 16).c_str(), Get16(transport + 2), protocol, ip[8],
                Get16(ip + 2));
  const int fragment = Get16(ip + 6) & 0x3fff;
  if (fragment == 0) return text;
  const std::string where = " fragment " + std::to_string((fragment & 0x1fff) * 8);
  return text + where + ((fragment & 0x2000) != 0 ? " more" : "");
}

}  // namespace

std::string Describe(const FrameBytes& frame) { return DescribeIp(frame.data() + 14); }

}  // namespace sluice
