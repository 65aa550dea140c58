// A connection: all that the data path reads and writes for a packet of it, in one cache line; of IPv6 the
// addresses are in another.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/config/forwarding.h"
#include "dataplane/conn/jiffies.h"
#include "dataplane/conn/persistence.h"
#include "dataplane/conn/protocol_state.h"
#include "dataplane/net/flow_hash.h"
#include "schedulers/scheduler.h"

namespace sluice {

// IPVS's numbers. The lowest three bits are the forwarding method.
inline constexpr uint16_t kConnectionMethod = 0x0007;
// Our own: the rest of its addresses is in ConnectionAddresses; the real server sees a local address.
inline constexpr uint16_t kConnectionIpv6 = 0x0008;
inline constexpr uint16_t kConnectionFullNat = 0x0010;
// Our own, where IPVS has one that says nearly the same: another balancer was told of it.
inline constexpr uint16_t kConnectionAnnounced = 0x0020;
// Our own: it was told of, and that balancer has its packets now.
inline constexpr uint16_t kConnectionLent = 0x0040;
inline constexpr uint16_t kConnectionNoOutput = 0x0080;  // no reply was seen, nor is one expected
inline constexpr uint16_t kConnectionInactive = 0x0100;
inline constexpr uint16_t kConnectionTemplate = 0x1000;  // only in lists: see persistence.h
inline constexpr uint16_t kConnectionOnePacket = 0x2000;
// Our own: the EvictionList that it is in.
inline constexpr uint16_t kConnectionClosed = 0x0200;
inline constexpr uint16_t kConnectionUnanswered = 0x4000;
// Our own: the client of a UDP flow has sent more than one datagram; the server has sent a packet.
inline constexpr uint16_t kConnectionRepeated = 0x0400;
inline constexpr uint16_t kConnectionAnswered = 0x8000;

// Connections that go first when the table is full.
enum class EvictionList : uint8_t {
  kClosed,      // both sides are done with it
  kUnanswered,  // the client alone has spoken, or the two have yet to agree
  kCount
};

struct alignas(64) Connection {
  // Addresses of IPv4, or what stands for those of IPv6 (AddressWord). `local` is what the real server
  // answers to: the client, but with full NAT one of the host's own.
  Be32 client;
  Be32 virtual_address;
  Be32 destination;
  Be32 local;
  Be16 client_port;
  Be16 virtual_port;
  Be16 destination_port;
  Be16 local_port;
  uint16_t flags = 0;
  Protocol protocol = Protocol::kTcp;
  uint8_t state = 0;
  DestinationId destination_id = kNoDestination;
  Jiffies deadline = 0;   // written by every packet; the timer wheel finds out later
  Jiffies filed_for = 0;  // where the timer wheel has it: never later than it must be looked at
  uint32_t in_packets = 0;
  uint32_t forwarding_generation = 0;        // for which `hops` are right
  NextHopId hops[2] = {kNoRoute, kNoRoute};  // by direction
  // What to add to the checksums of a packet from the client; one's complement, so that a packet from
  // the server takes the complement.
  uint16_t address_delta = 0;            // IP header
  uint16_t transport_delta = 0;          // TCP and UDP: addresses and ports
  TemplateId template_id = kNoTemplate;  // from which it was made

  // The tuple of a packet from the client, and of one to it. Only with NAT does a server answer in its own
  // name.
  FlowTuple TupleOf(Direction direction) const {
    if (direction == Direction::kOut && !IsNat()) [[unlikely]]
      return NamesOf(Direction::kIn).Reversed();
    return NamesOf(direction);
  }
  FlowTuple InTuple() const { return TupleOf(Direction::kIn); }
  FlowTuple OutTuple() const { return TupleOf(Direction::kOut); }

  // Addresses and ports of a packet that comes from the client, or from the server with NAT; on the other
  // side they have those of the other direction, reversed. Each pair lies as a tuple has it.
  FlowTuple NamesOf(Direction direction) const {
    const auto* bytes = reinterpret_cast<const char*>(this);
    const auto pair = static_cast<size_t>(direction);
    uint32_t ports;
    FlowTuple tuple;
    std::memcpy(&tuple.addresses, bytes + 8 * pair, sizeof tuple.addresses);
    std::memcpy(&ports, bytes + 16 + 4 * pair, sizeof ports);
    tuple.rest = ports | uint64_t{static_cast<uint8_t>(protocol)} << 32 | uint64_t{IsV6()} << 40;
    return tuple;
  }

  ForwardingMethod method() const { return static_cast<ForwardingMethod>(flags & kConnectionMethod); }
  bool IsNat() const { return method() == ForwardingMethod::kNat; }
  bool IsV6() const { return flags & kConnectionIpv6; }
  bool Has(uint16_t flag) const { return flags & flag; }
  bool IsInactive() const { return flags & kConnectionInactive; }
};
static_assert(sizeof(Connection) == 64);
static_assert(offsetof(Connection, client) == 0 && offsetof(Connection, virtual_address) == 4);
static_assert(offsetof(Connection, destination) == 8 && offsetof(Connection, local) == 12);
static_assert(offsetof(Connection, client_port) == 16 && offsetof(Connection, virtual_port) == 18);
static_assert(offsetof(Connection, destination_port) == 20 && offsetof(Connection, local_port) == 22);

// The addresses of an IPv6 connection, in the order in which packets get them: those to the server the first
// two, those to the client the other two.
struct alignas(64) ConnectionAddresses {
  Ipv6Address local;
  Ipv6Address destination;  // unspecified if the server is of IPv4, behind a tunnel
  Ipv6Address virtual_address;
  Ipv6Address client;

  // Of a packet that comes: from the client, or to it.
  FlowAddresses Of(Direction direction, bool is_nat) const {
    if (direction == Direction::kIn) return {client, virtual_address};
    return is_nat ? FlowAddresses{destination, local} : FlowAddresses{virtual_address, client};
  }
};
static_assert(sizeof(ConnectionAddresses) == 64);

}  // namespace sluice
