// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/announce.h"

#include "dataplane/pipeline/connection_life.h"

namespace sluice {
namespace {

// IPVS's own choice of states.
bool IsToldState(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kTcp)
    return state == kTcpEstablished || state == kTcpFinWait || state == kTcpClose || state == kTcpCloseWait ||
           state == kTcpTimeWait;
  if (protocol == Protocol::kSctp)
    return state == kSctpEstablished || state == kSctpShutdownSent || state == kSctpShutdownReceived ||
           state == kSctpShutdownAckSent || state == kSctpClosed;
  return true;
}

// So that it is told of again before it is forgotten.
uint32_t WithMargin(uint32_t seconds) { return seconds + seconds / 4 + 1; }

}  // namespace

bool CanBeAnnounced(const Worker& worker, const Connection& connection) {
  // One packet's connection is in no table, nor are the rest of its addresses.
  return !connection.Has(kConnectionFullNat | kConnectionOnePacket) &&
         worker.destinations.address(connection.destination_id).IsV4() != connection.IsV6();
}

bool IsHalfOpen(const Connection& connection) {
  if (connection.protocol == Protocol::kUdp)
    return !connection.Has(kConnectionAnswered | kConnectionRepeated);
  return connection.Has(kConnectionUnanswered) || !IsToldState(connection.protocol, connection.state);
}

SyncUpdate UpdateOf(const Worker& worker, const Connection& connection) {
  constexpr uint16_t kTold = kConnectionMethod | kConnectionNoOutput | kConnectionInactive;
  SyncUpdate update{.client_port = connection.client_port,
                    .virtual_port = connection.virtual_port,
                    .destination_port = connection.destination_port,
                    .flags = static_cast<uint16_t>(connection.flags & kTold),
                    .protocol = connection.protocol,
                    .state = connection.state,
                    .fwmark = worker.destinations.fwmark(connection.destination_id)};
  if (connection.IsV6()) {
    const ConnectionAddresses& addresses = worker.connections.AddressesOf(connection);
    update.client = IpAddress::FromV6(addresses.client);
    update.virtual_address = IpAddress::FromV6(addresses.virtual_address);
    update.destination = IpAddress::FromV6(addresses.destination);
  } else {
    update.client = IpAddress::FromV4(connection.client);
    update.virtual_address = IpAddress::FromV4(connection.virtual_address);
    update.destination = IpAddress::FromV4(connection.destination);
  }
  update.timeout_seconds = WithMargin(TimeoutOf(worker, connection) / kJiffiesPerSecond);
  return update;
}

void Announce(Worker& worker, Connection& connection) {
  if (!CanBeAnnounced(worker, connection)) return;
  const bool is_half_open = IsHalfOpen(connection);
  if (is_half_open && !worker.sync.half_open) return;
  const bool is_first = !connection.Has(kConnectionAnnounced);
  connection.flags |= kConnectionAnnounced;
  const SyncUpdate update = UpdateOf(worker, connection);
  if (is_half_open && is_first && worker.sync_listener != nullptr && worker.sync_listener->Tell(update))
    return;
  worker.sync_queue.Push(update);
}

void AnnounceState(Worker& worker, Connection& connection) {
  const bool begins = worker.sync.which == SyncPolicy::Which::kAll &&
                      IsEstablishedState(connection.protocol, connection.state);
  if (begins || worker.sync.half_open || connection.Has(kConnectionAnnounced)) Announce(worker, connection);
}

void AnnounceAgain(Worker& worker, Connection& connection) {
  if (worker.sync.which == SyncPolicy::Which::kLong || connection.Has(kConnectionAnnounced))
    Announce(worker, connection);
}

void AnnounceEnd(Worker& worker, const Connection& connection) {
  if (!connection.Has(kConnectionAnnounced)) return;
  SyncUpdate update = UpdateOf(worker, connection);
  update.flags |= kConnectionInactive;
  update.timeout_seconds = 1;
  if (connection.protocol == Protocol::kTcp) update.state = kTcpClose;
  if (connection.protocol == Protocol::kSctp) update.state = kSctpClosed;
  worker.sync_queue.Push(update);
}

}  // namespace sluice
