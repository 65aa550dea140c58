// Lookup: passes over the burst, so that the cache misses of 32 packets overlap: the bucket (for plain
// packets Parse has begun), the connection, the comparison.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

// conn_reuse_mode: a packet that opens may replace a connection that has closed.
bool IsReused(const Worker& worker, const Connection& connection) {
  const uint32_t mode = worker.settings.conn_reuse_mode;
  if (mode == 0 || connection.template_id != kNoTemplate) return false;
  if (IsClosedState(connection.protocol, connection.state)) return true;
  return (mode & 2) && connection.protocol == Protocol::kTcp && connection.state == kTcpFinWait &&
         connection.Has(kConnectionNoOutput);
}

// Whether its client is better served by another real server: this one has gone, is drained, or its time for
// this is over. In UDP nobody would notice the end of a connection, so that it must not have to wait for one.
bool IsStranded(const Worker& worker, const Batch& batch, int lane) {
  const uint8_t traits = batch.traits[lane];
  const bool expires = worker.settings.expire_nodest_conn;
  if ((traits & kQuiesced) && expires && batch.Opens(lane)) return true;
  const bool is_udp = batch.tuple[lane].protocol() == Protocol::kUdp;
  if (!(traits & kAvailable)) return expires || is_udp;
  return (traits & kDrainOver) && is_udp;
}

bool MustBeReplaced(const Worker& worker, const Batch& batch, int lane) {
  if (batch.direction[lane] != Direction::kIn || batch.kind[lane] != PacketKind::kFlow) return false;
  if (batch.Opens(lane) && IsReused(worker, *batch.connection[lane])) return true;
  if ((batch.traits[lane] & (kAvailable | kQuiesced | kDrainOver)) == kAvailable) return false;
  return IsStranded(worker, batch, lane);
}

}  // namespace

LaneMask Lookup(Worker& worker, Batch& batch, LaneMask lanes) {
  ConnectionTable& table = worker.connections;
  LaneMask v6 = lanes & batch.plain_v6;
  for (int lane : Lanes(lanes & ~batch.plain)) {
    batch.hash[lane] = table.Hash(batch.tuple[lane]);
    table.PrefetchBucket(batch.hash[lane]);
    if (batch.tuple[lane].IsV6()) v6 |= LaneBit(lane);
  }
  for (int lane : Lanes(lanes & ~batch.guessed)) {
    batch.entry[lane] = table.Guess(batch.hash[lane]);
    table.PrefetchConnection(batch.entry[lane]);
  }
  for (int lane : Lanes(v6 & ~batch.guessed)) table.PrefetchAddresses(batch.entry[lane]);
  LaneMask fresh = 0;
  LaneMask replaced = 0;
  for (int lane : Lanes(lanes)) {
    ConnectionEntry entry = batch.entry[lane];
    const bool is_v6 = v6 & LaneBit(lane);
    if (!table.HasTuple(entry, batch.tuple[lane]) ||
        (is_v6 && !table.HasAddresses(entry, batch.addresses[lane]))) {
      entry = table.Search(batch.tuple[lane], batch.addresses[lane], batch.hash[lane]);
      if (entry == 0) {
        batch.connection[lane] = nullptr;
        fresh |= LaneBit(lane);
        continue;
      }
    }
    Connection& connection = table.At(entry);
    batch.connection[lane] = &connection;
    if (is_v6) batch.connection_addresses[lane] = &table.AddressesOf(connection);
    batch.direction[lane] = ConnectionTable::DirectionOf(entry);
    __builtin_prefetch(&worker.statistics[connection.destination_id], 1);
    const uint8_t traits = worker.destinations.traits(connection.destination_id);
    batch.traits[lane] = traits;
    if ((traits & (kAvailable | kQuiesced | kDrainOver)) == kAvailable && !batch.Opens(lane)) [[likely]]
      continue;
    if (MustBeReplaced(worker, batch, lane)) replaced |= LaneBit(lane);
  }
  return fresh | replaced;
}

}  // namespace sluice
