// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_nat.h"

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

// REQUIRES: the checksum field is zero.
uint32_t ComputeSctpChecksum(const Ipv4Header& ip, const SctpHeader& sctp, const rte_mbuf& packet) {
  const uint32_t length = ip.total_length.ToHost() - static_cast<uint32_t>(ip.header_length());
  return ~Crc32cSegments(packet, reinterpret_cast<const uint8_t*>(&sctp), length);
}

// REQUIRES: the checksum field is zero.
uint16_t ComputeUdpChecksum(const Ipv4Header& ip, const UdpHeader& udp, const rte_mbuf& packet) {
  uint64_t sum = SumSegments(packet, reinterpret_cast<const uint8_t*>(&udp), udp.length.ToHost());
  sum += uint64_t{ip.source.raw} + ip.destination.raw + udp.length.raw + Be16::FromHost(ip.protocol).raw;
  const uint16_t checksum = static_cast<uint16_t>(~FoldSum(sum));
  return checksum == 0 ? 0xffff : checksum;
}

}  // namespace

void RewriteNatAddress(const Connection& connection, Direction direction, Ipv4Header& ip) {
  if (direction == Direction::kIn) {
    ip.destination = connection.destination;
    ip.checksum = UpdateChecksum(ip.checksum, connection.address_delta);
  } else {
    ip.source = connection.virtual_address;
    ip.checksum = UpdateChecksum(ip.checksum, static_cast<uint16_t>(~connection.address_delta));
  }
}

void RewriteNat(const Connection& connection, Direction direction, Ipv4Header& ip, const rte_mbuf& packet) {
  auto* transport = reinterpret_cast<uint8_t*>(&ip) + ip.header_length();
  auto& udp = *reinterpret_cast<UdpHeader*>(transport);  // its ports are where TCP and SCTP have them
  uint16_t transport_delta = connection.transport_delta;
  if (direction == Direction::kIn) {
    udp.destination_port = connection.destination_port;
  } else {
    udp.source_port = connection.virtual_port;
    transport_delta = ~transport_delta;
  }
  RewriteNatAddress(connection, direction, ip);
  const bool is_whole = (ip.flags_and_offset.raw & kIpv4MoreFragments.raw) == 0;
  if (connection.protocol == Protocol::kTcp) {
    auto& tcp = *reinterpret_cast<TcpHeader*>(transport);
    tcp.checksum = UpdateChecksum(tcp.checksum, transport_delta);
  } else if (connection.protocol == Protocol::kSctp) {
    // It covers the ports, but not the addresses.
    if (connection.virtual_port == connection.destination_port) return;
    auto& sctp = *reinterpret_cast<SctpHeader*>(transport);
    sctp.checksum = 0;
    sctp.checksum = ComputeSctpChecksum(ip, sctp, packet);
  } else if (udp.checksum == 0) {
    if (is_whole) udp.checksum = ComputeUdpChecksum(ip, udp, packet);
  } else {
    const uint16_t checksum = UpdateChecksum(udp.checksum, transport_delta);
    udp.checksum = checksum == 0 ? 0xffff : checksum;
  }
}

}  // namespace sluice
