// NAT: the addresses and ports of packets to real servers, and of those to clients.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/frame.h"

namespace sluice {

// Checksums are updated, not verified: what was broken stays broken. Only IPv4's UDP checksum of zero (none)
// is replaced by a computed one, as IPVS does, and SCTP's is computed if a port changes; neither can be of a
// first fragment, which has not all of the datagram.
void RewriteNat(Batch& batch, int lane);

// The same for TCP or UDP right behind an IPv4 header without options, and the hop taken. False: nothing was
// done, for the packet needs more than that.
inline bool RewritePlainNat(const Connection& connection, Direction direction, Ipv4Header& ip) {
  constexpr size_t kChecksumOfTcp = offsetof(TcpHeader, checksum);
  constexpr size_t kChecksumOfUdp = offsetof(UdpHeader, checksum);
  const bool is_tcp = connection.protocol == Protocol::kTcp;
  auto* transport = reinterpret_cast<uint8_t*>(&ip + 1);
  uint8_t* place = transport + (is_tcp ? kChecksumOfTcp : kChecksumOfUdp);
  uint16_t checksum;
  std::memcpy(&checksum, place, sizeof checksum);
  if ((!is_tcp && checksum == 0) || !TakeHop(ip)) return false;
  const bool to_server = direction == Direction::kIn;
  const FlowTuple names = connection.NamesOf(to_server ? Direction::kOut : Direction::kIn).Reversed();
  std::memcpy(reinterpret_cast<uint8_t*>(&ip) + offsetof(Ipv4Header, source), &names.addresses,
              sizeof names.addresses);
  const auto ports = static_cast<uint32_t>(names.rest);
  std::memcpy(transport, &ports, sizeof ports);
  const uint16_t flip = to_server ? 0 : 0xffff;
  ip.checksum = UpdateChecksum(ip.checksum, connection.address_delta ^ flip);
  checksum = UpdateChecksum(checksum, connection.transport_delta ^ flip);
  if (!is_tcp && checksum == 0) checksum = 0xffff;
  std::memcpy(place, &checksum, sizeof checksum);
  return true;
}

// SCTP's checksum covers ports.
bool PortsChange(const Connection& connection);

// Of a fragment that is not the first: it has no ports, and the first has the checksum.
void RewriteNatAddresses(Batch& batch, int lane);

}  // namespace sluice
