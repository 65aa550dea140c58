// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/rewrite_nat.h"

#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

uint16_t InDirection(Direction direction, uint16_t delta) {
  return direction == Direction::kIn ? delta : static_cast<uint16_t>(~delta);
}

// REQUIRES: the checksum field is zero.
uint32_t ComputeSctpChecksum(const Batch& batch, int lane, const uint8_t* sctp) {
  return ~Crc32cSegments(*batch.packet[lane], sctp,
                         batch.ip_length[lane] - uint32_t{batch.transport_at[lane]});
}

void FillInUdpChecksum(Batch& batch, int lane, UdpHeader& udp) {
  const Ipv4Header& ip = batch.v4(lane);
  udp.checksum = UdpChecksumOf(
      SumSegments(*batch.packet[lane], reinterpret_cast<const uint8_t*>(&udp), udp.length.ToHost()) +
      SumOfPseudoHeader(ip.source, ip.destination, ip.protocol, udp.length.ToHost()));
}

}  // namespace

bool PortsChange(const Connection& connection) {
  return connection.virtual_port != connection.destination_port ||
         connection.client_port != connection.local_port;
}

void RewriteNatAddresses(Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  const Direction direction = batch.direction[lane];
  const bool to_server = direction == Direction::kIn;
  if (connection.IsV6()) {
    const ConnectionAddresses& addresses = *batch.connection_addresses[lane];
    Ipv6Header& ip = batch.v6(lane);
    ip.source = to_server ? addresses.local : addresses.virtual_address;
    ip.destination = to_server ? addresses.destination : addresses.client;
    return;
  }
  Ipv4Header& ip = batch.v4(lane);
  ip.source = to_server ? connection.local : connection.virtual_address;
  ip.destination = to_server ? connection.destination : connection.client;
  ip.checksum = UpdateChecksum(ip.checksum, InDirection(direction, connection.address_delta));
}

void RewriteNat(Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  const Direction direction = batch.direction[lane];
  const bool to_server = direction == Direction::kIn;
  uint8_t* transport = batch.transport(lane);
  auto& udp = *reinterpret_cast<UdpHeader*>(transport);  // its ports are where TCP and SCTP have them
  udp.source_port = to_server ? connection.local_port : connection.virtual_port;
  udp.destination_port = to_server ? connection.destination_port : connection.client_port;
  RewriteNatAddresses(batch, lane);
  const uint16_t delta = InDirection(direction, connection.transport_delta);
  if (connection.protocol == Protocol::kTcp) {
    auto& tcp = *reinterpret_cast<TcpHeader*>(transport);
    tcp.checksum = UpdateChecksum(tcp.checksum, delta);
  } else if (connection.protocol == Protocol::kSctp) {
    // It covers the ports, but not the addresses.
    if (!PortsChange(connection)) return;
    auto& sctp = *reinterpret_cast<SctpHeader*>(transport);
    sctp.checksum = 0;
    sctp.checksum = ComputeSctpChecksum(batch, lane, transport);
  } else if (udp.checksum != 0) {
    const uint16_t checksum = UpdateChecksum(udp.checksum, delta);
    udp.checksum = checksum == 0 ? 0xffff : checksum;
  } else if (!connection.IsV6() && !batch.IsFirstFragment(lane)) {
    FillInUdpChecksum(batch, lane, udp);
  }
}

}  // namespace sluice
