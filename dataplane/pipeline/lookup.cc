// Lookup: three passes over the burst, so that the cache misses of 32 packets overlap: the bucket, the
// connection, the comparison.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

// conn_reuse_mode 1: a SYN may replace a connection that has closed.
bool MayBeReplaced(const Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  return batch.tcp_flags[lane] & kTcpSyn && batch.direction[lane] == Direction::kIn &&
         (connection.state == kTcpTimeWait || connection.state == kTcpClose);
}

}  // namespace

LaneMask Lookup(Worker& worker, Batch& batch, LaneMask lanes) {
  ConnectionTable& table = worker.connections;
  for (int lane : Lanes(lanes)) {
    batch.hash[lane] = table.Hash(batch.tuple[lane]);
    table.PrefetchBucket(batch.hash[lane]);
  }
  for (int lane : Lanes(lanes)) {
    batch.entry[lane] = table.Guess(batch.hash[lane]);
    table.PrefetchConnection(batch.entry[lane]);
  }
  LaneMask fresh = 0;
  for (int lane : Lanes(lanes)) {
    ConnectionEntry entry = batch.entry[lane];
    if (!table.Is(entry, batch.tuple[lane])) entry = table.Search(batch.tuple[lane], batch.hash[lane]);
    if (entry == 0) {
      batch.connection[lane] = nullptr;
      fresh |= LaneBit(lane);
      continue;
    }
    Connection& connection = table.At(entry);
    batch.connection[lane] = &connection;
    batch.direction[lane] = ConnectionTable::DirectionOf(entry);
    __builtin_prefetch(&worker.statistics[connection.destination_id], 1);
    if (MayBeReplaced(batch, lane)) fresh |= LaneBit(lane);
  }
  return fresh;
}

}  // namespace sluice
