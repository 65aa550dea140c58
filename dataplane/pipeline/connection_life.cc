// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"

#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/local_source.h"

namespace sluice {
namespace {

// A connection is taken to another place in the timer wheel only if it would otherwise live this much too
// long.
constexpr int32_t kTolerableDelay = kJiffiesPerSecond / 4;

// Timeouts of the service are only of states that can be set; those not set are as everywhere.
uint32_t OwnSeconds(const TimeoutSpec& own, Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kUdp) return own.udp_seconds;
  if (protocol == Protocol::kTcp && state == kTcpEstablished) return own.tcp_seconds;
  if (protocol == Protocol::kTcp && state == kTcpFinWait) return own.tcp_fin_seconds;
  return 0;
}

Jiffies TimeoutIn(const Worker& worker, const Connection& connection, uint8_t state) {
  const DestinationId id = connection.destination_id;
  if (worker.destinations.traits(id) & kOwnTimeouts) {
    const uint32_t seconds = OwnSeconds(worker.destinations.timeouts(id), connection.protocol, state);
    if (seconds != 0) return JiffiesFromSeconds(seconds);
  }
  return worker.timeouts.Of(connection.protocol, state);
}

Jiffies EarlierOf(Jiffies a, Jiffies b) { return static_cast<int32_t>(a - b) < 0 ? a : b; }

// The state that the first packet almost always leads to: the timer wheel need not look before its time is
// up.
uint8_t LikelyFirstState(Protocol protocol) {
  if (protocol == Protocol::kTcp) return kTcpSynRecv;
  return protocol == Protocol::kSctp ? uint8_t{kSctpInit1} : kUdpNormal;
}

// What to add to a sum when an address becomes another.
uint64_t SumOfChange(const Ipv6Address& before, const Ipv6Address& after) {
  uint64_t sum = 0;
  for (size_t i = 0; i < before.bytes.size(); i += 4) {
    uint32_t words[2];
    std::memcpy(&words[0], &before.bytes[i], 4);
    std::memcpy(&words[1], &after.bytes[i], 4);
    sum += SumOfChange32(words[0], words[1]);
  }
  return sum;
}

// The list that a connection belongs to, by the flag that says so; 0: none. With NAT the client's word alone
// establishes nothing here, whatever the protocol's state is.
uint16_t ListFlagOf(const Connection& connection) {
  if (IsClosedState(connection.protocol, connection.state)) return kConnectionClosed;
  if (IsOpeningState(connection.protocol, connection.state)) return kConnectionUnanswered;
  if (connection.Has(kConnectionAnswered)) return 0;
  if (connection.IsNat()) return kConnectionUnanswered;
  const bool is_single_datagram =
      connection.protocol == Protocol::kUdp && !connection.Has(kConnectionRepeated);
  return is_single_datagram ? kConnectionUnanswered : 0;
}

void EnterList(Worker& worker, Connection& connection, uint16_t list_flag) {
  constexpr uint16_t kLists = kConnectionClosed | kConnectionUnanswered;
  const uint16_t present = connection.flags & kLists;
  if (present == list_flag) return;
  const auto list_of = [](uint16_t flag) {
    return flag == kConnectionClosed ? EvictionList::kClosed : EvictionList::kUnanswered;
  };
  const uint32_t index = worker.connections.IndexOf(connection);
  if (present != 0) worker.eviction.Remove(list_of(present), index);
  if (list_flag != 0) worker.eviction.Add(list_of(list_flag), index);
  connection.flags = static_cast<uint16_t>((connection.flags & ~kLists) | list_flag);
}

// A strict template is not prolonged by connections that have closed.
void LeaveStrictTemplate(Worker& worker, Connection& connection) {
  if (!(worker.destinations.traits(connection.destination_id) & kStrictPersistence)) return;
  worker.persistence.Leave(connection.template_id);
  connection.template_id = kNoTemplate;
}

}  // namespace

NewConnection MakeConnection(Worker& worker, const FlowTuple& tuple, const FlowAddresses& addresses,
                             const Assignment& assignment) {
  NewConnection made;
  Connection& connection = made.connection;
  connection.client = connection.local = tuple.source();
  connection.client_port = connection.local_port = tuple.source_port();
  connection.virtual_address = tuple.destination();
  connection.virtual_port = tuple.destination_port();
  connection.protocol = tuple.protocol();
  connection.destination_port = assignment.port;
  connection.destination_id = assignment.destination_id;
  connection.template_id = assignment.template_id;
  const ForwardingMethod method = assignment.method;
  const bool is_full_nat = method == ForwardingMethod::kFullNat;
  const bool is_nat = method == ForwardingMethod::kNat || is_full_nat;
  connection.flags = static_cast<uint16_t>(
      kConnectionInactive | static_cast<uint16_t>(is_full_nat ? ForwardingMethod::kNat : method));
  if (is_full_nat) connection.flags |= kConnectionFullNat;
  if (!is_nat) connection.flags |= kConnectionNoOutput;
  connection.forwarding_generation = worker.forwarding->generation() - 1;  // hops are yet to be resolved
  uint64_t address_change = 0;
  if (tuple.IsV6()) {
    connection.flags |= kConnectionIpv6;
    const Ipv6Address destination = assignment.address.IsV4() ? Ipv6Address{} : assignment.address.V6();
    connection.destination = AddressWord(assignment.address, worker.secret);
    made.addresses = {.local = addresses.source,
                      .destination = destination,
                      .virtual_address = addresses.destination,
                      .client = addresses.source};
    address_change = SumOfChange(addresses.destination, destination);
    if (is_full_nat) {
      connection.local = AddressWord(assignment.local_address, worker.secret);
      made.addresses.local = assignment.local_address.V6();
      address_change += SumOfChange(addresses.source, made.addresses.local);
    }
  } else {
    // With tunnels a server may be of the other family; then only its word is here, which tells nobody apart.
    connection.destination = AddressWord(assignment.address, worker.secret);
    if (is_full_nat) connection.local = assignment.local_address.V4();
    address_change = SumOfChange32(connection.virtual_address.raw, connection.destination.raw) +
                     SumOfChange32(connection.client.raw, connection.local.raw);
  }
  if (is_full_nat) connection.local_port = assignment.local_port;
  const uint64_t port_change = SumOfChange16(connection.virtual_port.raw, connection.destination_port.raw) +
                               SumOfChange16(connection.client_port.raw, connection.local_port.raw);
  connection.address_delta = FoldSum(address_change);
  connection.transport_delta = FoldSum(address_change + port_change);
  return made;
}

void EnterFirstState(NewConnection& made, uint8_t state) {
  made.connection.state = state;
  if (IsActiveState(made.connection.protocol, state))
    made.connection.flags &= static_cast<uint16_t>(~kConnectionInactive);
}

Connection* KeepConnection(Worker& worker, const NewConnection& made, uint64_t hash) {
  Connection* kept = worker.connections.BeginInsert(made.connection, made.addresses, hash);
  if (kept == nullptr) return nullptr;
  const uint32_t index = worker.connections.IndexOf(*kept);
  const DestinationId destination = kept->destination_id;
  kept->deadline = worker.now + TimeoutIn(worker, *kept, LikelyFirstState(kept->protocol));
  Jiffies look_at = kept->deadline;
  if (worker.sync.which == SyncPolicy::Which::kLong)
    look_at = EarlierOf(look_at, worker.now + JiffiesFromSeconds(worker.sync.seconds));
  kept->filed_for = worker.wheel.File(index, look_at);
  Relist(worker, *kept);
  worker.shares.Add(*kept, made.addresses, worker.destinations.service_number(destination));
  worker.destinations.AddConnection(destination, !kept->IsInactive());
  worker.counters.Add(Counter::kConnectionsCreated);
  StatisticsLine::Add(worker.statistics[destination].connections, 1);
  return kept;
}

void LiveBriefly(Worker& worker, Connection& connection) {
  constexpr Jiffies kBriefly = JiffiesFromSeconds(3);
  const uint32_t index = worker.connections.IndexOf(connection);
  worker.wheel.Unfile(index);
  connection.deadline = worker.now + kBriefly;
  connection.filed_for = worker.wheel.File(index, connection.deadline);
}

void Forgo(Worker& worker, const Assignment& assignment, Protocol protocol) {
  if (assignment.template_id != kNoTemplate) worker.persistence.Leave(assignment.template_id);
  if (assignment.local_port != Be16{}) {
    GiveLocalPortBack(worker, assignment.local_address, assignment.local_port, protocol,
                      assignment.destination_id);
  }
}

void RemoveConnection(Worker& worker, Connection& connection) {
  EnterList(worker, connection, 0);
  worker.shares.Remove(connection, worker.connections.AddressesOf(connection),
                       worker.destinations.service_number(connection.destination_id));
  if (connection.Has(kConnectionFullNat)) {
    GiveLocalPortBack(worker,
                      connection.IsV6() ? IpAddress::FromV6(worker.connections.AddressesOf(connection).local)
                                        : IpAddress::FromV4(connection.local),
                      connection.local_port, connection.protocol, connection.destination_id);
  }
  if (connection.template_id != kNoTemplate) worker.persistence.Leave(connection.template_id);
  worker.destinations.RemoveConnection(connection.destination_id, !connection.IsInactive());
  worker.connections.Remove(connection);
}

void DropConnection(Worker& worker, Connection& connection) {
  if (connection.template_id != kNoTemplate) {
    worker.persistence.LeaveByForce(connection.template_id);
    connection.template_id = kNoTemplate;
  }
  AnnounceEnd(worker, connection);
  worker.wheel.Unfile(worker.connections.IndexOf(connection));
  RemoveConnection(worker, connection);
  worker.counters.Add(Counter::kConnectionsDropped);
}

Jiffies TimeoutOf(const Worker& worker, const Connection& connection) {
  return TimeoutIn(worker, connection, connection.state);
}

void ChangeState(Worker& worker, Connection& connection, uint8_t state) {
  connection.state = state;
  const Protocol protocol = connection.protocol;
  const bool active = IsActiveState(protocol, state);
  if (active == connection.IsInactive()) {
    connection.flags ^= kConnectionInactive;
    worker.destinations.SetActive(connection.destination_id, active);
  }
  Relist(worker, connection);
  if (connection.template_id != kNoTemplate) {
    if (IsEstablishedState(protocol, state)) worker.persistence.Assure(connection.template_id);
    if (IsClosedState(protocol, state)) LeaveStrictTemplate(worker, connection);
  }
  const Jiffies deadline = worker.now + TimeoutOf(worker, connection);
  if (static_cast<int32_t>(connection.filed_for - deadline) > kTolerableDelay) {
    const uint32_t index = worker.connections.IndexOf(connection);
    worker.wheel.Unfile(index);
    connection.filed_for = worker.wheel.File(index, deadline);
  }
  if (worker.sync.which != SyncPolicy::Which::kNone) AnnounceState(worker, connection);
}

uint8_t NextState(const Worker& worker, Connection& connection, Direction direction, uint8_t signal) {
  Seen seen = direction == Direction::kIn ? Seen::kIn : Seen::kOut;
  if (connection.Has(kConnectionNoOutput)) {
    if (seen == Seen::kIn) {
      seen = Seen::kInOnly;
    } else {
      connection.flags &= ~kConnectionNoOutput;
    }
  }
  if (connection.protocol == Protocol::kTcp)
    return NextTcpState(seen, signal, connection.state, worker.defence.secure_tcp());
  if (connection.protocol == Protocol::kSctp)
    return NextSctpState(seen, static_cast<SctpEvent>(signal), connection.state);
  return kUdpNormal;
}

void Relist(Worker& worker, Connection& connection) { EnterList(worker, connection, ListFlagOf(connection)); }

}  // namespace sluice
