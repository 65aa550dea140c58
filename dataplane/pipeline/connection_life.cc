// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"

#include "dataplane/net/checksum.h"

namespace sluice {
namespace {

// A connection is taken to another place in the timer wheel only if it would otherwise live this much too
// long.
constexpr int32_t kTolerableDelay = kJiffiesPerSecond / 4;

// What the first packet will make of it: the wheel need not look before that state's time is up.
uint8_t FirstState(Protocol protocol) {
  return protocol == Protocol::kTcp ? uint8_t{kTcpSynRecv} : kUdpNormal;
}

}  // namespace

Connection MakeConnection(Worker& worker, const Ipv4Tuple& tuple, const Candidate& candidate) {
  Connection connection;
  connection.client = tuple.source();
  connection.client_port = tuple.source_port();
  connection.virtual_address = tuple.destination();
  connection.virtual_port = tuple.destination_port();
  connection.protocol = tuple.protocol();
  connection.destination = candidate.address.V4();
  connection.destination_port = candidate.port;
  connection.destination_id = candidate.id;
  connection.flags = kConnectionInactive;
  connection.forwarding_generation = worker.forwarding->generation() - 1;  // hops are yet to be resolved
  const uint64_t address_change = SumOfChange32(connection.virtual_address.raw, connection.destination.raw);
  const uint64_t port_change = SumOfChange16(connection.virtual_port.raw, connection.destination_port.raw);
  connection.address_delta = FoldSum(address_change);
  connection.transport_delta = FoldSum(address_change + port_change);
  return connection;
}

Connection* CreateConnection(Worker& worker, const Ipv4Tuple& tuple, const Candidate& candidate) {
  Connection* created = worker.connections.Insert(MakeConnection(worker, tuple, candidate));
  if (created == nullptr) return nullptr;
  created->deadline = worker.now + worker.timeouts.Of(created->protocol, FirstState(created->protocol));
  created->filed_for = worker.wheel.File(worker.connections.IndexOf(*created), created->deadline);
  worker.destinations.AddConnection(candidate.id);
  worker.counters.Add(Counter::kConnectionsCreated);
  StatisticsLine::Add(worker.statistics[candidate.id].connections, 1);
  return created;
}

void RemoveConnection(Worker& worker, Connection& connection) {
  worker.destinations.RemoveConnection(connection.destination_id, !connection.IsInactive());
  worker.connections.Remove(connection);
}

void ChangeState(Worker& worker, Connection& connection, uint8_t state) {
  connection.state = state;
  const bool active = IsActiveState(connection.protocol, state);
  if (active == connection.IsInactive()) {
    connection.flags ^= kConnectionInactive;
    worker.destinations.load(connection.destination_id)
        .active.fetch_add(active ? 1 : -1, std::memory_order_relaxed);
  }
  const Jiffies deadline = worker.now + worker.timeouts.Of(connection.protocol, state);
  if (static_cast<int32_t>(connection.filed_for - deadline) > kTolerableDelay) {
    const uint32_t index = worker.connections.IndexOf(connection);
    worker.wheel.Unfile(index);
    connection.filed_for = worker.wheel.File(index, deadline);
  }
}

}  // namespace sluice
