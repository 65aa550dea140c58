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

// The same for TCP or UDP right behind the plain header of either family, and the hop taken. False: nothing
// was done, for the packet needs more than that.
inline bool RewritePlainTransport(const Connection& connection, const FlowTuple& names, uint16_t flip,
                                  uint8_t* transport, bool zero_is_none) {
  const bool is_tcp = connection.protocol == Protocol::kTcp;
  uint8_t* place = transport + (is_tcp ? offsetof(TcpHeader, checksum) : offsetof(UdpHeader, checksum));
  uint16_t checksum;
  std::memcpy(&checksum, place, sizeof checksum);
  const bool is_none = !is_tcp && checksum == 0;
  if (is_none && !zero_is_none) return false;
  const auto ports = static_cast<uint32_t>(names.rest);
  std::memcpy(transport, &ports, sizeof ports);
  if (is_none) return true;
  checksum = UpdateChecksum(checksum, connection.transport_delta ^ flip);
  if (!is_tcp && checksum == 0) checksum = 0xffff;
  std::memcpy(place, &checksum, sizeof checksum);
  return true;
}

inline bool RewritePlainNat(const Connection& connection, Direction direction, Ipv4Header& ip) {
  const bool to_server = direction == Direction::kIn;
  const uint16_t flip = to_server ? 0 : 0xffff;
  const FlowTuple names = connection.NamesOf(to_server ? Direction::kOut : Direction::kIn).Reversed();
  if (ip.time_to_live <= 1 ||
      !RewritePlainTransport(connection, names, flip, reinterpret_cast<uint8_t*>(&ip + 1), false)) {
    return false;
  }
  --ip.time_to_live;
  std::memcpy(reinterpret_cast<uint8_t*>(&ip) + offsetof(Ipv4Header, source), &names.addresses,
              sizeof names.addresses);
  constexpr uint16_t kOneHopLess = static_cast<uint16_t>(~Be16::FromHost(0x0100).raw);
  const auto delta = static_cast<uint16_t>(connection.address_delta ^ flip);
  ip.checksum = static_cast<uint16_t>(
      ~AddWithCarry(AddWithCarry(static_cast<uint16_t>(~ip.checksum), kOneHopLess), delta));
  return true;
}

// A UDP checksum of zero stays what it is.
inline bool RewritePlainNat(const Connection& connection, const ConnectionAddresses& addresses,
                            Direction direction, Ipv6Header& ip) {
  const bool to_server = direction == Direction::kIn;
  const FlowTuple names = connection.NamesOf(to_server ? Direction::kOut : Direction::kIn).Reversed();
  if (!TakeHop(ip)) return false;
  ip.source = to_server ? addresses.local : addresses.virtual_address;
  ip.destination = to_server ? addresses.destination : addresses.client;
  return RewritePlainTransport(connection, names, to_server ? 0 : 0xffff, reinterpret_cast<uint8_t*>(&ip + 1),
                               true);
}

// SCTP's checksum covers ports.
bool PortsChange(const Connection& connection);

// Of a fragment that is not the first: it has no ports, and the first has the checksum.
void RewriteNatAddresses(Batch& batch, int lane);

}  // namespace sluice
