// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_icmp.h"

#include "dataplane/net/ipv6_headers.h"
#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

void ChangeAddress(Ipv4Header& ip, Be32 Ipv4Header::*address, Be32 to) {
  ip.checksum = UpdateChecksum(ip.checksum, FoldSum(SumOfChange32((ip.*address).raw, to.raw)));
  ip.*address = to;
}

// The sum over the message, with what its checksum covers of the IP header: in IPv6 it does.
uint16_t SumOfMessage(Batch& batch, int lane) {
  const uint32_t length = batch.ip_length[lane] - uint32_t{batch.transport_at[lane]};
  uint64_t sum = SumSegments(*batch.packet[lane], batch.transport(lane), length);
  if (IsV6Header(batch.ip[lane])) {
    const Ipv6Header& ip = batch.v6(lane);
    sum += SumOfPseudoHeader(ip.source, ip.destination, static_cast<uint8_t>(Protocol::kIcmpv6), length);
  }
  return FoldSum(sum);
}

void ChangePorts(UdpHeader& ports, const Connection& connection, Direction direction) {
  if (direction == Direction::kIn) {
    ports.source_port = connection.destination_port;
    ports.destination_port = connection.local_port;
  } else {
    ports.source_port = connection.client_port;
    ports.destination_port = connection.virtual_port;
  }
}

void RewriteV4(const Connection& connection, Direction direction, Ipv4Header& ip, IcmpHeader& icmp) {
  auto& about = *reinterpret_cast<Ipv4Header*>(&icmp + 1);
  auto* transport = reinterpret_cast<uint8_t*>(&about) + about.header_length();
  if (direction == Direction::kIn) {
    ChangeAddress(ip, &Ipv4Header::destination, connection.destination);
    ChangeAddress(about, &Ipv4Header::source, connection.destination);
    ChangeAddress(about, &Ipv4Header::destination, connection.local);
  } else {
    ChangeAddress(ip, &Ipv4Header::source, connection.virtual_address);
    ChangeAddress(ip, &Ipv4Header::destination, connection.client);
    ChangeAddress(about, &Ipv4Header::source, connection.client);
    ChangeAddress(about, &Ipv4Header::destination, connection.virtual_address);
  }
  ChangePorts(*reinterpret_cast<UdpHeader*>(transport), connection, direction);
}

void RewriteV6(const Connection& connection, const ConnectionAddresses& addresses, Direction direction,
               Ipv6Header& ip, IcmpHeader& icmp) {
  auto& about = *reinterpret_cast<Ipv6Header*>(&icmp + 1);
  // Parse has found it within what is there.
  const std::optional<Ipv6Transport> found = FindIpv6Transport(about, UINT16_MAX);
  if (direction == Direction::kIn) {
    ip.destination = about.source = addresses.destination;
    about.destination = addresses.local;
  } else {
    ip.source = about.destination = addresses.virtual_address;
    ip.destination = about.source = addresses.client;
  }
  auto* transport = reinterpret_cast<uint8_t*>(&about) + found->at;
  ChangePorts(*reinterpret_cast<UdpHeader*>(transport), connection, direction);
}

}  // namespace

bool HasSoundIcmpChecksum(Batch& batch, int lane) { return SumOfMessage(batch, lane) == 0xffff; }

void RewriteIcmpError(Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  const Direction direction = batch.direction[lane];
  auto& icmp = *reinterpret_cast<IcmpHeader*>(batch.transport(lane));
  if (connection.IsV6()) {
    RewriteV6(connection, *batch.connection_addresses[lane], direction, batch.v6(lane), icmp);
  } else {
    RewriteV4(connection, direction, batch.v4(lane), icmp);
  }
  icmp.checksum = 0;
  icmp.checksum = static_cast<uint16_t>(~SumOfMessage(batch, lane));
}

}  // namespace sluice
