// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"

#include "dataplane/net/checksum.h"

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

// The state that the first packet almost always leads to: the timer wheel need not look before its time is up.
uint8_t LikelyFirstState(Protocol protocol) {
  if (protocol == Protocol::kTcp) return kTcpSynRecv;
  return protocol == Protocol::kSctp ? uint8_t{kSctpInit1} : kUdpNormal;
}

// A strict template is not prolonged by connections that have closed.
void LeaveStrictTemplate(Worker& worker, Connection& connection) {
  if (!(worker.destinations.traits(connection.destination_id) & kStrictPersistence)) return;
  worker.persistence.Leave(connection.template_id);
  connection.template_id = kNoTemplate;
}

}  // namespace

Connection MakeConnection(Worker& worker, const Ipv4Tuple& tuple, const Assignment& assignment) {
  Connection connection;
  connection.client = tuple.source();
  connection.client_port = tuple.source_port();
  connection.virtual_address = tuple.destination();
  connection.virtual_port = tuple.destination_port();
  connection.protocol = tuple.protocol();
  connection.destination = assignment.address.V4();
  connection.destination_port = assignment.port;
  connection.destination_id = assignment.destination_id;
  connection.template_id = assignment.template_id;
  connection.fwmark = assignment.fwmark;
  const ForwardingMethod method = worker.destinations.way(assignment.destination_id).method;
  connection.flags = static_cast<uint16_t>(kConnectionInactive | static_cast<uint16_t>(method));
  if (method != ForwardingMethod::kNat) connection.flags |= kConnectionNoOutput;
  connection.forwarding_generation = worker.forwarding->generation() - 1;  // hops are yet to be resolved
  const uint64_t address_change = SumOfChange32(connection.virtual_address.raw, connection.destination.raw);
  const uint64_t port_change = SumOfChange16(connection.virtual_port.raw, connection.destination_port.raw);
  connection.address_delta = FoldSum(address_change);
  connection.transport_delta = FoldSum(address_change + port_change);
  return connection;
}

Connection* CreateConnection(Worker& worker, const Ipv4Tuple& tuple, const Assignment& assignment) {
  Connection* created = worker.connections.Insert(MakeConnection(worker, tuple, assignment));
  if (created == nullptr) return nullptr;
  const uint32_t index = worker.connections.IndexOf(*created);
  created->deadline = worker.now + TimeoutIn(worker, *created, LikelyFirstState(created->protocol));
  created->filed_for = worker.wheel.File(index, created->deadline);
  created->flags |= kConnectionEmbryonic;
  worker.embryonic.Add(index);
  worker.destinations.AddConnection(assignment.destination_id);
  worker.counters.Add(Counter::kConnectionsCreated);
  StatisticsLine::Add(worker.statistics[assignment.destination_id].connections, 1);
  return created;
}

void RemoveConnection(Worker& worker, Connection& connection) {
  LeaveEmbryonic(worker, connection);
  if (connection.template_id != kNoTemplate) worker.persistence.Leave(connection.template_id);
  worker.destinations.RemoveConnection(connection.destination_id, !connection.IsInactive());
  worker.connections.Remove(connection);
}

void DropConnection(Worker& worker, Connection& connection) {
  if (connection.template_id != kNoTemplate) {
    worker.persistence.LeaveByForce(connection.template_id);
    connection.template_id = kNoTemplate;
  }
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
    worker.destinations.ChangeActive(connection.destination_id, active ? 1 : -1);
  }
  if (!IsOpeningState(protocol, state)) LeaveEmbryonic(worker, connection);
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

void LeaveEmbryonic(Worker& worker, Connection& connection) {
  if (!connection.Has(kConnectionEmbryonic)) return;
  connection.flags &= ~kConnectionEmbryonic;
  worker.embryonic.Remove(worker.connections.IndexOf(connection));
}

}  // namespace sluice
