// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_nat.h"

#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/net/crc32c.h"

namespace sluice {
namespace {

// The one's complement sum of `length` bytes that start at `first` and may go on in later segments.
uint16_t SumSegments(const rte_mbuf& packet, const uint8_t* first, uint32_t length) {
  const uint32_t skipped = static_cast<uint32_t>(first - rte_pktmbuf_mtod(&packet, const uint8_t*));
  uint32_t here = std::min<uint32_t>(length, packet.data_len - skipped);
  uint64_t sum = SumBytes(first, here);
  bool odd = here & 1;
  for (const rte_mbuf* segment = packet.next; segment != nullptr && (length -= here) > 0;
       segment = segment->next) {
    here = std::min<uint32_t>(length, segment->data_len);
    const uint16_t part = FoldSum(SumBytes(rte_pktmbuf_mtod(segment, const uint8_t*), here));
    sum += odd ? __builtin_bswap16(part) : part;
    odd ^= here & 1;
  }
  return FoldSum(sum);
}

// REQUIRES: the checksum field is zero.
uint32_t ComputeSctpChecksum(const Ipv4Header& ip, const SctpHeader& sctp, const rte_mbuf& packet) {
  const auto* first = reinterpret_cast<const uint8_t*>(&sctp);
  uint32_t length = ip.total_length.ToHost() - static_cast<uint32_t>(ip.header_length());
  uint32_t here = std::min<uint32_t>(
      length, packet.data_len - static_cast<uint32_t>(first - rte_pktmbuf_mtod(&packet, const uint8_t*)));
  uint32_t crc = Crc32c(kCrc32cStart, first, here);
  for (const rte_mbuf* segment = packet.next; segment != nullptr && (length -= here) > 0;
       segment = segment->next) {
    here = std::min<uint32_t>(length, segment->data_len);
    crc = Crc32c(crc, rte_pktmbuf_mtod(segment, const uint8_t*), here);
  }
  return ~crc;
}

// REQUIRES: the checksum field is zero.
uint16_t ComputeUdpChecksum(const Ipv4Header& ip, const UdpHeader& udp, const rte_mbuf& packet) {
  const uint16_t length = udp.length.ToHost();
  uint64_t sum = SumSegments(packet, reinterpret_cast<const uint8_t*>(&udp), length);
  sum += uint64_t{ip.source.raw} + ip.destination.raw + udp.length.raw + Be16::FromHost(ip.protocol).raw;
  const uint16_t checksum = static_cast<uint16_t>(~FoldSum(sum));
  return checksum == 0 ? 0xffff : checksum;
}

}  // namespace

void RewriteNat(const Connection& connection, Direction direction, Ipv4Header& ip, const rte_mbuf& packet) {
  auto* transport = reinterpret_cast<uint8_t*>(&ip) + ip.header_length();
  auto& udp = *reinterpret_cast<UdpHeader*>(transport);  // its ports are where TCP and SCTP have them
  uint16_t address_delta = connection.address_delta;
  uint16_t transport_delta = connection.transport_delta;
  if (direction == Direction::kIn) {
    ip.destination = connection.destination;
    udp.destination_port = connection.destination_port;
  } else {
    ip.source = connection.virtual_address;
    udp.source_port = connection.virtual_port;
    address_delta = ~address_delta;
    transport_delta = ~transport_delta;
  }
  ip.checksum = UpdateChecksum(ip.checksum, address_delta);
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
    udp.checksum = ComputeUdpChecksum(ip, udp, packet);
  } else {
    const uint16_t checksum = UpdateChecksum(udp.checksum, transport_delta);
    udp.checksum = checksum == 0 ? 0xffff : checksum;
  }
}

}  // namespace sluice
