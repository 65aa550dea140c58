// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_icmp.h"

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

void ChangeAddress(Ipv4Header& ip, Be32 Ipv4Header::*address, Be32 to) {
  ip.checksum = UpdateChecksum(ip.checksum, FoldSum(SumOfChange32((ip.*address).raw, to.raw)));
  ip.*address = to;
}

}  // namespace

bool HasSoundIcmpChecksum(const Ipv4Header& ip, const rte_mbuf& packet) {
  const auto header = static_cast<uint32_t>(ip.header_length());
  const auto* start = reinterpret_cast<const uint8_t*>(&ip) + header;
  return SumSegments(packet, start, ip.total_length.ToHost() - header) == 0xffff;
}

void RewriteIcmpError(const Connection& connection, Direction direction, Ipv4Header& ip,
                      const rte_mbuf& packet) {
  auto* start = reinterpret_cast<uint8_t*>(&ip) + ip.header_length();
  const uint32_t length = ip.total_length.ToHost() - static_cast<uint32_t>(ip.header_length());
  auto& icmp = *reinterpret_cast<IcmpHeader*>(start);
  auto& about = *reinterpret_cast<Ipv4Header*>(&icmp + 1);
  auto& ports = *reinterpret_cast<UdpHeader*>(reinterpret_cast<uint8_t*>(&about) + about.header_length());
  if (direction == Direction::kIn) {
    ChangeAddress(ip, &Ipv4Header::destination, connection.destination);
    ChangeAddress(about, &Ipv4Header::source, connection.destination);
    ports.source_port = connection.destination_port;
  } else {
    ChangeAddress(ip, &Ipv4Header::source, connection.virtual_address);
    ChangeAddress(about, &Ipv4Header::destination, connection.virtual_address);
    ports.destination_port = connection.virtual_port;
  }
  icmp.checksum = 0;
  icmp.checksum = static_cast<uint16_t>(~SumSegments(packet, start, length));
}

}  // namespace sluice
