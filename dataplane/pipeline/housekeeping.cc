// Housekeeping: connections and templates whose time is up, connections that must go for another reason, and
// the defences against overload. Every kind does a bounded part of its work in a round.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/pipeline.h"

namespace sluice {
namespace {

constexpr uint32_t kSweepAtOnce = 128;
constexpr Jiffies kIdleBeforeLottery = JiffiesFromSeconds(60);
constexpr uint32_t kDropEntryShare = 32;  // one of so many connections is looked at in a second

// What the timer wheel says may be over is over, or is filed again. As many as a burst has packets: expiry
// keeps up with any rate of new connections, and delays a burst by no more than another burst.
int ExpireConnections(Worker& worker) {
  uint32_t due[kBurst];
  const int count = worker.wheel.TakeDue(worker.now, due, kBurst);
  for (int i = 0; i < count; ++i) {
    __builtin_prefetch(&worker.connections.ByIndex(due[i]), 1);
    worker.eviction.Prefetch(due[i]);
  }
  uint32_t over[kBurst];
  int over_count = 0;
  for (int i = 0; i < count; ++i) {
    Connection& connection = worker.connections.ByIndex(due[i]);
    if (!HasPassed(connection.deadline, worker.now)) {
      connection.filed_for = worker.wheel.File(due[i], connection.deadline);
      if (worker.sync.which != SyncPolicy::Which::kNone) AnnounceAgain(worker, connection);
      continue;
    }
    worker.connections.PrefetchBuckets(connection);
    __builtin_prefetch(&worker.destinations.load(connection.destination_id), 1);
    over[over_count++] = due[i];
  }
  for (int i = 0; i < over_count; ++i) RemoveConnection(worker, worker.connections.ByIndex(over[i]));
  worker.counters.Add(Counter::kConnectionsExpired, static_cast<uint64_t>(over_count));
  return count;
}

// Where there is no packet to answer by a reset, the connection is marked as closed; its next packet is.
void EndDrained(Worker& worker, Connection& connection) {
  if (connection.protocol == Protocol::kUdp) {
    DropConnection(worker, connection);
    return;
  }
  const uint8_t closed = connection.protocol == Protocol::kTcp ? uint8_t{kTcpClose} : uint8_t{kSctpClosed};
  if (connection.state == closed) return;
  ChangeState(worker, connection, closed);
  connection.deadline = worker.now + TimeoutOf(worker, connection);
  worker.counters.Add(Counter::kConnectionsReset);
}

// Templates come after the connections that hold them.
int SweepTemplates(Worker& worker) {
  constexpr uint32_t kAtOnce = 4;  // of each shard
  if (worker.template_sweep_at == 0 || worker.sweep_at < worker.connections.IndexEnd()) return 0;
  const bool more = worker.persistence.DropUnavailable(worker.template_sweep_at, kAtOnce);
  worker.template_sweep_at = more ? worker.template_sweep_at + kAtOnce : 0;
  return static_cast<int>(kAtOnce);
}

// After a real server was removed or its drain has ended: all connections are looked at once.
int Sweep(Worker& worker) {
  if (const uint32_t sweeps = worker.destinations.sweeps(); sweeps != worker.sweeps_seen) {
    worker.sweeps_seen = sweeps;
    worker.sweep_at = 1;
    worker.template_sweep_at = worker.settings.expire_nodest_conn ? 1 : 0;
  }
  const uint32_t end = worker.connections.IndexEnd();
  uint32_t looked_at = 0;
  for (; worker.sweep_at < end && looked_at < kSweepAtOnce; ++worker.sweep_at, ++looked_at) {
    if (!worker.connections.IsInUse(worker.sweep_at)) continue;
    Connection& connection = worker.connections.ByIndex(worker.sweep_at);
    const uint8_t traits = worker.destinations.traits(connection.destination_id);
    if (traits & kDrainOver) {
      EndDrained(worker, connection);
    } else if (!(traits & kAvailable) && worker.settings.expire_nodest_conn) {
      DropConnection(worker, connection);
    }
  }
  return static_cast<int>(looked_at);
}

// Which connections drop_entry may take: half-open ones; of the others those that have long been idle, by
// lot.
bool MayDrop(Worker& worker, const Connection& connection) {
  if (connection.protocol == Protocol::kTcp) {
    if (connection.state == kTcpSynRecv || connection.state == kTcpSynAck) return true;
    if (connection.state != kTcpEstablished) return false;
  } else if (connection.protocol == Protocol::kSctp) {
    if (connection.state == kSctpInit1 || connection.state == kSctpInit) return true;
    if (connection.state != kSctpEstablished) return false;
  }
  const Jiffies used = connection.deadline - TimeoutOf(worker, connection);
  return HasPassed(used + kIdleBeforeLottery, worker.now) &&
         worker.defence.DropsIdleEntry(connection.in_packets);
}

int DropEntries(Worker& worker) {
  Defence& defence = worker.defence;
  if (defence.IsDue(worker.now)) {
    defence.Decide(worker.settings, worker.connections.capacity() - worker.connections.size());
    if (defence.dropping_entries()) {
      worker.drop_entry_at = 1 + defence.Random() % kDropEntryShare;
      if (worker.index == 0) worker.persistence.DropSome(defence.Random());
    }
  }
  const uint32_t end = worker.connections.IndexEnd();
  int looked_at = 0;
  for (; worker.drop_entry_at < end && looked_at < kBurst;
       worker.drop_entry_at += kDropEntryShare, ++looked_at) {
    if (!worker.connections.IsInUse(worker.drop_entry_at)) continue;
    Connection& connection = worker.connections.ByIndex(worker.drop_entry_at);
    if (MayDrop(worker, connection)) DropConnection(worker, connection);
  }
  return looked_at;
}

}  // namespace

int KeepHouse(Worker& worker) {
  int looked_at = ExpireConnections(worker);
  if (worker.index == 0) looked_at += worker.persistence.Expire(worker.now);
  if (const int stale = worker.fragments.DropStale(worker.now); stale > 0)
    worker.counters.Add(Counter::kDropFragmentAlone, static_cast<uint64_t>(stale));
  return looked_at + Sweep(worker) + SweepTemplates(worker) + DropEntries(worker);
}

}  // namespace sluice
