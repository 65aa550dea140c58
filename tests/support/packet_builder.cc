// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_builder.h"

#include <arpa/inet.h>

#include <algorithm>
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

void Put16(FrameBytes& bytes, uint16_t value) {
  bytes.push_back(value >> 8);
  bytes.push_back(value & 0xff);
}
void Set16(uint8_t* at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value & 0xff;
}
uint16_t Get16(const uint8_t* at) { return at[0] << 8 | at[1]; }

// IPv4 in the notation of IPv6 too, which IpAddress does not read.
IpAddress AnyAddress(const std::string& text) {
  if (const std::optional<IpAddress> address = IpAddress::Parse(text)) return *address;
  IpAddress address = IpAddress::Unspecified(AddressFamily::kIpv6);
  SLUICE_CHECK(inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1);
  return address;
}

// Behind the Ethernet header and a tag.
const uint8_t* IpOf(const FrameBytes& frame) {
  return frame.data() + (Get16(frame.data() + 12) == 0x8100 ? 18 : 14);
}

// What is said about a packet in its IP headers, whatever the family.
struct IpView {
  const uint8_t* start;
  bool is_v6;
  uint8_t protocol;
  size_t header;  // all of them
  size_t total;
  uint8_t tos;
  uint8_t ttl;
  bool dont_fragment = false;
  int fragment_offset = 0;  // in bytes
  bool more_fragments = false;

  const uint8_t* transport() const { return start + header; }
  size_t length() const { return total - header; }
  std::string Address(int which) const {  // 0: source
    if (is_v6) return IpAddress::FromV6(start + 8 + which * 16).ToString();
    Be32 address;
    std::memcpy(&address, start + 12 + which * 4, 4);
    return IpAddress::FromV4(address).ToString();
  }
  std::string Endpoint(int which) const {
    const std::string port = std::to_string(Get16(transport() + which * 2));
    const std::string address = Address(which);
    return (is_v6 ? std::string("[").append(address).append("]") : address) + ":" + port;
  }
  uint32_t PseudoHeader() const {
    return PlainSum(start + (is_v6 ? 8 : 12), is_v6 ? 32 : 8, 0) + protocol + static_cast<uint32_t>(length());
  }
};

IpView Look(const uint8_t* ip) {
  if (ip[0] >> 4 != 6) {
    const int fragment = Get16(ip + 6);
    return {ip,
            false,
            ip[9],
            (ip[0] & 15) * 4u,
            Get16(ip + 2),
            ip[1],
            ip[8],
            (fragment & 0x4000) != 0,
            (fragment & 0x1fff) * 8,
            (fragment & 0x2000) != 0};
  }
  IpView view{
      ip, true, ip[6], 40, 40u + Get16(ip + 4), static_cast<uint8_t>((ip[0] & 15) << 4 | ip[1] >> 4), ip[7]};
  while (view.protocol == 0 || view.protocol == 43 || view.protocol == 44 || view.protocol == 60) {
    const uint8_t* extension = view.transport();
    if (view.protocol == 44) {
      view.fragment_offset = Get16(extension + 2) & 0xfff8;
      view.more_fragments = (extension[3] & 1) != 0;
    }
    view.header += view.protocol == 44 ? 8 : (extension[1] + 1u) * 8;
    view.protocol = extension[0];
  }
  return view;
}

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
  source_ = AnyAddress(address);
  source_port_ = port;
  return *this;
}
Packet& Packet::To(const std::string& address, uint16_t port) {
  destination_ = AnyAddress(address);
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
  protocol_ = source_.IsV4() ? 1 : 58;
  raw_ip_ = true;
  icmp_ = {type, code, 0, 0, 0, 0, static_cast<uint8_t>(mtu >> 8), static_cast<uint8_t>(mtu)};
  const size_t all = about.size() - 14;
  icmp_.insert(icmp_.end(), about.begin() + 14,
               about.begin() + 14 + static_cast<std::ptrdiff_t>(quoted == 0 ? all : std::min(quoted, all)));
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
Packet& Packet::Extensions(const std::vector<uint8_t>& kinds) {
  extensions_ = kinds;
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
  is_fragment_ = true;
  return *this;
}
Packet& Packet::BreakTransportChecksum() {
  break_checksum_ = true;
  return *this;
}

FrameBytes Packet::TransportBytes() const {
  FrameBytes transport;
  if (!icmp_.empty()) return icmp_;
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
  return transport;
}

FrameBytes Packet::Ipv4Bytes(size_t payload) const {
  const size_t header = 20 + options_.size();
  FrameBytes ip = {static_cast<uint8_t>(0x40 | header / 4), tos_};
  Put16(ip, static_cast<uint16_t>(header + payload));
  Put16(ip, 0x1234);
  Put16(ip, flags_and_offset_);
  ip.push_back(ttl_);
  ip.push_back(protocol_);
  Put16(ip, 0);
  ip.insert(ip.end(), source_.bytes.begin() + 12, source_.bytes.end());
  ip.insert(ip.end(), destination_.bytes.begin() + 12, destination_.bytes.end());
  ip.insert(ip.end(), options_.begin(), options_.end());
  Set16(ip.data() + 10, ~PlainSum(ip.data(), header, 0));
  return ip;
}

FrameBytes Packet::Ipv6Bytes(size_t payload) const {
  std::vector<uint8_t> kinds = extensions_;
  if (is_fragment_) kinds.push_back(44);
  FrameBytes ip = {static_cast<uint8_t>(0x60 | tos_ >> 4), static_cast<uint8_t>(tos_ << 4), 0, 0};
  Put16(ip, static_cast<uint16_t>(kinds.size() * 8 + payload));
  kinds.push_back(protocol_);
  ip.push_back(kinds[0]);
  ip.push_back(ttl_);
  ip.insert(ip.end(), source_.bytes.begin(), source_.bytes.end());
  ip.insert(ip.end(), destination_.bytes.begin(), destination_.bytes.end());
  for (size_t i = 0; i + 1 < kinds.size(); ++i) {
    ip.push_back(kinds[i + 1]);
    ip.push_back(0);
    if (kinds[i] == 44) {
      Put16(ip, static_cast<uint16_t>((flags_and_offset_ & 0x1fff) << 3 | (flags_and_offset_ >> 13 & 1)));
      ip.insert(ip.end(), {0, 0, 0x12, 0x34});
    } else {
      // Options: padding; of a routing header: nowhere else to go.
      const bool is_routing = kinds[i] == 43;
      ip.insert(ip.end(), {static_cast<uint8_t>(is_routing ? 4 : 1), static_cast<uint8_t>(is_routing ? 0 : 4),
                           0, 0, 0, 0});
    }
  }
  return ip;
}

FrameBytes Packet::Bytes() const {
  const bool is_v6 = !source_.IsV4();
  FrameBytes frame;
  frame.insert(frame.end(), destination_mac_.bytes.begin(), destination_mac_.bytes.end());
  frame.insert(frame.end(), source_mac_.bytes.begin(), source_mac_.bytes.end());
  if (vlan_) {
    Put16(frame, 0x8100);
    Put16(frame, *vlan_);
  }
  Put16(frame, ether_type_.value_or(is_v6 ? kEtherTypeIpv6 : kEtherTypeIpv4).ToHost());
  const size_t ip_start = frame.size();
  FrameBytes transport = TransportBytes();
  const FrameBytes ip = is_v6 ? Ipv6Bytes(transport.size()) : Ipv4Bytes(transport.size());
  frame.insert(frame.end(), ip.begin(), ip.end());
  frame.insert(frame.end(), transport.begin(), transport.end());
  const IpView view = Look(frame.data() + ip_start);
  uint8_t* at = frame.data() + ip_start + view.header;
  const uint16_t damage = break_checksum_ ? 0x0101 : 0;
  if (protocol_ == 132 && !raw_ip_) {
    const uint32_t crc = BitwiseCrc32c(transport) ^ damage;
    std::memcpy(at + 8, &crc, 4);
  } else if (!icmp_.empty()) {
    Set16(at + 2, 0);
    Set16(at + 2, ~PlainSum(at, transport.size(), is_v6 ? view.PseudoHeader() : 0) ^ damage);
  } else if (!raw_ip_ && !(protocol_ == 17 && zero_udp_checksum_)) {
    uint16_t checksum = ~PlainSum(at, transport.size(), view.PseudoHeader());
    if (protocol_ == 17 && checksum == 0) checksum = 0xffff;
    Set16(at + (protocol_ == 6 ? 16 : 6), checksum ^ damage);
  }
  return frame;
}

std::string ChecksumFaults(const FrameBytes& frame) {
  const IpView ip = Look(IpOf(frame));
  const uint8_t* transport = ip.transport();
  if (IpOf(frame) + ip.total > frame.data() + frame.size())
    return "frame is shorter than the IP total length";
  if (!ip.is_v6 && PlainSum(ip.start, ip.header, 0) != 0xffff) return "IP header checksum is wrong";
  const bool is_gue = ip.protocol == 17 && Get16(transport + 2) == 6080;
  if (is_gue && Get16(transport + 6) == 0) return "";
  if (ip.protocol != 6 && ip.protocol != 17 && ip.protocol != 132) return "";  // Describe looks into these
  if (ip.protocol == 17 && Get16(transport + 6) == 0) return "UDP checksum is zero";
  if (ip.protocol == 132) {
    FrameBytes packet(transport, transport + ip.length());
    uint32_t stated;
    std::memcpy(&stated, packet.data() + 8, 4);
    std::memset(packet.data() + 8, 0, 4);
    return stated == BitwiseCrc32c(packet) ? "" : "transport checksum is wrong";
  }
  if (PlainSum(transport, ip.length(), ip.PseudoHeader()) != 0xffff) return "transport checksum is wrong";
  return "";
}

namespace {

constexpr uint16_t kGuePort = 6080;

// Outer IP header in words: without its identification, which is anybody's.
std::string DescribeOuter(const IpView& ip, const char* what) {
  char text[240];
  std::snprintf(text, sizeof text, "%s > %s %s tos %02x%s ttl %d len %d", ip.Address(0).c_str(),
                ip.Address(1).c_str(), what, ip.tos, ip.dont_fragment ? " df" : "", ip.ttl,
                static_cast<int>(ip.total));
  return text;
}

// `quoted`: so many bytes are there.
std::string DescribeIp(const uint8_t* start, size_t quoted = 65535);

std::string DescribeGre(const IpView& ip) {
  const uint8_t* gre = ip.transport();
  const bool has_checksum = (gre[0] & 0x80) != 0;
  const bool is_sound = !has_checksum || PlainSum(gre, ip.length(), 0) == 0xffff;
  char what[48];
  std::snprintf(what, sizeof what, "gre %04x %04x%s", Get16(gre), Get16(gre + 2),
                is_sound ? "" : " wrong checksum");
  return DescribeOuter(ip, what) + " [" + DescribeIp(gre + (has_checksum ? 8 : 4)) + "]";
}

std::string DescribeIcmpError(const IpView& ip) {
  const uint8_t* icmp = ip.transport();
  const bool is_sound = PlainSum(icmp, ip.length(), ip.is_v6 ? ip.PseudoHeader() : 0) == 0xffff;
  char what[64];
  std::snprintf(what, sizeof what, "icmp%s %d/%d mtu %d%s", ip.is_v6 ? "6" : "", icmp[0], icmp[1],
                Get16(icmp + 6), is_sound ? "" : " wrong checksum");
  const bool is_echo = ip.is_v6 ? icmp[0] == 128 || icmp[0] == 129 : icmp[0] == 0 || icmp[0] == 8;
  if (is_echo) return DescribeOuter(ip, what);
  return DescribeOuter(ip, what) + " [" + DescribeIp(icmp + 8, ip.length() - 8) + "]";
}

// Of the UDP checksum it is said whether there is one; ChecksumFaults says whether it is right.
std::string DescribeGue(const IpView& ip) {
  const uint8_t* udp = ip.transport();
  char what[64];
  std::snprintf(what, sizeof what, "gue %d %s %02x%02x%02x%02x", Get16(udp + 2),
                Get16(udp + 6) == 0 ? "without checksum" : "with checksum", udp[8], udp[9], udp[10], udp[11]);
  return DescribeOuter(ip, what) + " [" + DescribeIp(udp + 12) + "]";
}

std::string DescribeIp(const uint8_t* start, size_t quoted) {
  const IpView ip = Look(start);
  const uint8_t* transport = ip.transport();
  if (ip.protocol == (ip.is_v6 ? 58 : 1)) return DescribeIcmpError(ip);
  if (ip.protocol == 4) return DescribeOuter(ip, "ipip") + " [" + DescribeIp(transport) + "]";
  if (ip.protocol == 41) return DescribeOuter(ip, "ipip6") + " [" + DescribeIp(transport) + "]";
  if (ip.protocol == 47) return DescribeGre(ip);
  if (ip.protocol == 17 && Get16(transport + 2) == kGuePort) return DescribeGue(ip);
  char protocol[16] = "udp";
  if (ip.protocol == 6)
    std::snprintf(protocol, sizeof protocol, "tcp %02x", quoted < ip.header + 14 ? 0 : transport[13]);
  if (ip.protocol == 132)
    std::snprintf(protocol, sizeof protocol, "sctp %d", quoted < ip.header + 13 ? 0 : transport[12]);
  char text[240];
  std::snprintf(text, sizeof text, "%s > %s %s ttl %d len %d", ip.Endpoint(0).c_str(), ip.Endpoint(1).c_str(),
                protocol, ip.ttl, static_cast<int>(ip.total));
  if (ip.fragment_offset == 0 && !ip.more_fragments) return text;
  const std::string where = " fragment " + std::to_string(ip.fragment_offset);
  return text + where + (ip.more_fragments ? " more" : "");
}

}  // namespace

std::string Describe(const FrameBytes& frame) {
  if (frame.empty()) return "nothing";
  const bool tagged = IpOf(frame) != frame.data() + 14;
  const std::string vlan = tagged ? "vlan " + std::to_string(Get16(frame.data() + 14)) + " " : "";
  return vlan + DescribeIp(IpOf(frame));
}

}  // namespace sluice
