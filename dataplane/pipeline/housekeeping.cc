// Housekeeping: connections and templates whose time is up, connections that must go for another reason, and
// the defences against overload. Every kind does a bounded part of its work in a round.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/pipeline.h"

namespace sluice {
namespace {

constexpr uint32_t kSweepAtOnce = 128;
constexpr Jiffies kIdleBeforeLottery = JiffiesFromSeconds(60);
constexpr uint32_t kDropEntryShare = 32;  // one of so many connections is looked at in a second

// Expires what the timer wheel says is due, or files it again. Returns how many those were.
int ExpireSome(Worker& worker) {
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

// A burst's worth, and one more for each that came since the last time: expiry keeps up with any number of
// queues, and delays a burst by no more than the bursts before it.
int ExpireConnections(Worker& worker) {
  const uint64_t created = worker.counters.Get(Counter::kConnectionsCreated);
  const uint64_t bursts = 1 + (created - std::exchange(worker.created_seen, created)) / kBurst;
  int looked_at = 0;
  for (uint64_t burst = 0; burst < bursts; ++burst) {
    const int count = ExpireSome(worker);
    looked_at += count;
    if (count < kBurst) break;
  }
  return looked_at;
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

// Connections whose real server is gone or whose drain is over.
void SweepConnection(Worker& worker, Connection& connection) {
  const uint8_t traits = worker.destinations.traits(connection.destination_id);
  if (traits & kDrainOver) {
    EndDrained(worker, connection);
  } else if (!(traits & kAvailable) && worker.settings.expire_nodest_conn) {
    DropConnection(worker, connection);
  }
}

void RequestTemplateSweep(Worker& worker) {
  if (worker.template_sweep_at == 0) {
    worker.template_sweep_at = 1;
  } else {
    worker.template_sweep_again = true;
  }
}

// After a real server was removed or its drain has ended every connection is looked at once. Whoever asks
// while that goes on gets a whole lap from here, so that a stream of changes keeps nobody from being reached.
int Sweep(Worker& worker) {
  if (const uint32_t sweeps = worker.destinations.sweeps(); sweeps != worker.sweeps_seen) {
    worker.sweeps_seen = sweeps;
    worker.sweep_left = worker.connections.IndexEnd() - 1;
    if (worker.settings.expire_nodest_conn) RequestTemplateSweep(worker);
  }
  if (worker.sweep_left == 0) return 0;
  uint32_t looked_at = 0;
  for (; worker.sweep_left > 0 && looked_at < kSweepAtOnce; --worker.sweep_left, ++looked_at) {
    if (worker.sweep_at >= worker.connections.IndexEnd()) worker.sweep_at = 1;
    const uint32_t index = worker.sweep_at++;
    if (worker.connections.IsInUse(index)) SweepConnection(worker, worker.connections.ByIndex(index));
  }
  // Templates that connections held until now.
  if (worker.sweep_left == 0 && worker.settings.expire_nodest_conn) RequestTemplateSweep(worker);
  return static_cast<int>(looked_at);
}

constexpr uint32_t kTemplatesAtOnce = 4;  // of each shard

int SweepTemplates(Worker& worker) {
  if (worker.template_sweep_at == 0) return 0;
  const bool more =
      worker.persistence.DropUnavailable({.first = worker.template_sweep_at, .count = kTemplatesAtOnce});
  if (more) {
    worker.template_sweep_at += kTemplatesAtOnce;
  } else {
    worker.template_sweep_at = worker.template_sweep_again ? 1 : 0;
    worker.template_sweep_again = false;
  }
  return static_cast<int>(kTemplatesAtOnce);
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

// Path MTUs whose time is up, a part of them every second; a lap takes hours at most, and the clock comes
// round in months.
void ClearPathMtus(Worker& worker) {
  constexpr uint32_t kAtOnce = 256;
  if (worker.path_mtu_at >= worker.destinations.End()) worker.path_mtu_at = kNoDestination + 1;
  worker.destinations.ClearPathMtus(worker.path_mtu_at, kAtOnce, worker.now);
  worker.path_mtu_at += kAtOnce;
}

int DropTemplates(Worker& worker) {
  if (worker.template_drop_at == 0) return 0;
  const bool more = worker.persistence.DropUnassured(
      {.first = worker.template_drop_at, .count = kTemplatesAtOnce, .stride = kDropEntryShare});
  worker.template_drop_at = more ? worker.template_drop_at + kTemplatesAtOnce * kDropEntryShare : 0;
  return static_cast<int>(kTemplatesAtOnce);
}

int DropEntries(Worker& worker) {
  Defence& defence = worker.defence;
  if (defence.IsDue(worker.now)) {
    if (worker.index == 0) ClearPathMtus(worker);
    defence.Decide(worker.settings, worker.connections.capacity() - worker.connections.size());
    if (defence.dropping_entries()) {
      worker.drop_entry_at = 1 + defence.Random() % kDropEntryShare;
      if (worker.index == 0) worker.template_drop_at = 1 + defence.Random() % kDropEntryShare;
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
  return looked_at + Sweep(worker) + SweepTemplates(worker) + DropEntries(worker) + DropTemplates(worker);
}

}  // namespace sluice
