// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/admission.h"

#include <utility>

namespace sluice {
namespace {

Jiffies IdleTime(const Worker& worker, const Connection& connection) {
  return worker.now - (connection.deadline - TimeoutOf(worker, connection));
}

// The oldest unanswered connection; but a client that goes on sending datagrams nobody replies to is in use.
uint32_t OldestUnanswered(Worker& worker) {
  AgeLists<EvictionList>& lists = worker.eviction;
  for (int looks = 1; looks < kUnansweredLooks; ++looks) {
    const uint32_t oldest = lists.oldest(EvictionList::kUnanswered);
    if (oldest == 0) return 0;
    const Connection& connection = worker.connections.ByIndex(oldest);
    const bool in_use = connection.protocol == Protocol::kUdp && connection.Has(kConnectionRepeated) &&
                        IdleTime(worker, connection) < kIdleUdp;
    if (!in_use) return oldest;
    lists.Remove(EvictionList::kUnanswered, oldest);
    lists.Add(EvictionList::kUnanswered, oldest);
  }
  return lists.oldest(EvictionList::kUnanswered);
}

bool IsIdle(const Worker& worker, const Connection& connection) {
  const Jiffies idle = IdleTime(worker, connection);
  if (static_cast<int32_t>(idle) < 0) return false;  // the timeout was made longer meanwhile
  if (connection.protocol == Protocol::kUdp)
    return idle >= (connection.in_packets <= 1 ? kIdleExchange : kIdleUdp);
  const bool is_young = connection.Has(kConnectionNoOutput) && connection.in_packets <= kYoungPackets;
  return idle >= (is_young ? kIdleYoung : kIdleEstablished);
}

// A hand goes round the table, some steps for each eviction.
uint32_t FindIdle(Worker& worker) {
  const uint32_t end = worker.connections.IndexEnd();
  for (int looks = 0; looks < kIdleLooks; ++looks) {
    const uint32_t index = worker.eviction_hand < end ? worker.eviction_hand : 1;
    worker.eviction_hand = index + 1;
    if (!worker.connections.IsInUse(index)) continue;
    const Connection& connection = worker.connections.ByIndex(index);
    if (connection.Has(kConnectionUnanswered | kConnectionClosed)) continue;
    if (IsIdle(worker, connection)) return index;
  }
  return 0;
}

bool IsOverShare(const Worker& worker, const Connection& connection, const ConnectionAddresses& addresses) {
  const uint32_t share = worker.connections.capacity() / kShareOfOne;
  return worker.shares.OfNetwork(connection, addresses) > share ||
         worker.shares.OfService(worker.destinations.service_number(connection.destination_id)) > share;
}

// Victim among some connections: of a network or service with more than its share, the longest idle one.
uint32_t FindOverShare(Worker& worker) {
  uint32_t found = 0;
  Jiffies longest = 0;
  const uint32_t end = worker.connections.IndexEnd();
  for (int looks = 0; looks < kIdleLooks; ++looks) {
    const uint32_t index = worker.eviction_hand < end ? worker.eviction_hand : 1;
    worker.eviction_hand = index + 1;
    const Connection& connection = worker.connections.ByIndex(index);
    if (!worker.connections.IsInUse(index) ||
        !IsOverShare(worker, connection, worker.connections.AddressesOf(connection)))
      continue;
    const Jiffies idle = IdleTime(worker, connection);
    if (found != 0 && static_cast<int32_t>(idle - longest) <= 0) continue;
    found = index;
    longest = idle;
  }
  return found;
}

struct Victim {
  uint32_t index = 0;  // 0: nobody may go
  Counter reason = Counter::kEvictedClosed;
};

Victim ChooseVictim(Worker& worker, const NewConnection& wanted) {
  const AgeLists<EvictionList>& lists = worker.eviction;
  if (const uint32_t closed = lists.oldest(EvictionList::kClosed); closed != 0)
    return {closed, Counter::kEvictedClosed};
  const uint32_t share = worker.connections.capacity() / kUnansweredShare;
  if (lists.size(EvictionList::kUnanswered) > share)
    return {OldestUnanswered(worker), Counter::kEvictedUnanswered};
  if (const uint32_t idle = FindIdle(worker); idle != 0) {
    const bool is_udp = worker.connections.ByIndex(idle).protocol == Protocol::kUdp;
    return {idle, is_udp ? Counter::kEvictedIdleUdp : Counter::kEvictedIdle};
  }
  if (const uint32_t unanswered = OldestUnanswered(worker); unanswered != 0)
    return {unanswered, Counter::kEvictedUnanswered};
  if (IsOverShare(worker, wanted.connection, wanted.addresses)) return {};
  return {FindOverShare(worker), Counter::kEvictedOverShare};
}

// The connections that ChooseVictim will probably name, one after the other; 0: none.
class LikelyVictims {
 public:
  explicit LikelyVictims(const Worker& worker)
      : worker_(worker), next_(worker.eviction.oldest(list_)), hand_(worker.eviction_hand) {}

  uint32_t Next() {
    if (next_ == 0 && list_ == EvictionList::kClosed) {
      list_ = EvictionList::kUnanswered;
      next_ = worker_.eviction.oldest(list_);
    }
    if (next_ != 0) return std::exchange(next_, worker_.eviction.NextYounger(next_));
    return hand_ < worker_.connections.IndexEnd() ? hand_++ : 0;
  }

 private:
  const Worker& worker_;
  EvictionList list_ = EvictionList::kClosed;
  uint32_t next_;
  uint32_t hand_;
};

bool EvictOne(Worker& worker, Batch& batch, int lane, const NewConnection& wanted) {
  const Victim victim = ChooseVictim(worker, wanted);
  if (victim.index == 0) return false;
  RemoveInBurst(worker, batch, lane, &worker.connections.ByIndex(victim.index));
  worker.counters.Add(victim.reason);
  return true;
}

}  // namespace

void RemoveInBurst(Worker& worker, Batch& batch, int lane, Connection* connection) {
  LaneMask same = 0;
  for (int other = 0; other < batch.count; ++other)
    same |= static_cast<LaneMask>(batch.connection[other] == connection) << other;
  for (int other : Lanes(same & ~LaneBit(lane))) {
    if (batch.verdict[other] != Verdict::kNone) continue;
    Drop(worker, batch, other, Counter::kDropConnectionReused);
    batch.forgotten |= LaneBit(other);
  }
  worker.wheel.Unfile(worker.connections.IndexOf(*connection));
  RemoveConnection(worker, *connection);
}

Connection* Admit(Worker& worker, Batch& batch, int lane, const NewConnection& wanted) {
  const uint32_t free = worker.connections.capacity() - worker.connections.size();
  worker.defence.NoticeRoom(worker.settings, free);
  if (free > 0 || EvictOne(worker, batch, lane, wanted))
    return KeepConnection(worker, wanted, batch.hash[lane]);
  Drop(worker, batch, lane, Counter::kRefusedTableFull);
  return nullptr;
}

bool EvictForPort(Worker& worker, Batch& batch, int lane, DestinationId destination) {
  for (const EvictionList list : {EvictionList::kClosed, EvictionList::kUnanswered}) {
    uint32_t index = worker.eviction.oldest(list);
    for (int looks = 0; index != 0 && looks < kPortLooks; ++looks) {
      Connection& connection = worker.connections.ByIndex(index);
      if (connection.destination_id == destination && connection.Has(kConnectionFullNat)) {
        RemoveInBurst(worker, batch, lane, &connection);
        worker.counters.Add(Counter::kEvictedForPort);
        return true;
      }
      index = worker.eviction.NextYounger(index);
    }
  }
  return false;
}

void PrefetchRoom(const Worker& worker, int count) {
  uint32_t indices[kBurst];
  LikelyVictims victims(worker);
  bool any_victim = false;
  for (int i = 0; i < count; ++i) {
    indices[i] = worker.connections.IndexToUse(static_cast<uint32_t>(i));
    if (indices[i] == 0) {
      indices[i] = victims.Next();
      any_victim = true;
    }
    __builtin_prefetch(&worker.connections.ByIndex(indices[i]), 1);
    worker.wheel.Prefetch(indices[i]);
    worker.eviction.Prefetch(indices[i]);
  }
  if (!any_victim) return;
  for (int i = 0; i < count; ++i) {
    if (!worker.connections.IsInUse(indices[i])) continue;
    const Connection& connection = worker.connections.ByIndex(indices[i]);
    worker.connections.PrefetchBuckets(connection);
    __builtin_prefetch(&worker.destinations.load(connection.destination_id), 1);
  }
}

}  // namespace sluice
