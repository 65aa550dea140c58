// Schedule: for packets without a connection. Most make one; the rest are the kernel's, another worker's,
// or refused.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

// The first octet tells: 0/8, 127/8, and all from 224 up.
bool CannotBeSource(Be32 address) {
  const uint8_t first = address.raw & 0xff;
  return first == 0 || first == 127 || first >= 224;
}

bool BelongsToPeer(Worker& worker, Batch& batch, int lane, Be32 client, Be16 client_port) {
  if (worker.workers == 1 || batch.from_peer) return false;
  const uint32_t owner = OwnerOfClient(client, client_port, batch.tuple[lane].protocol(), worker.secret,
                                       static_cast<uint32_t>(worker.workers));
  if (owner == static_cast<uint32_t>(worker.index)) return false;
  batch.owner[lane] = static_cast<uint8_t>(owner);
  batch.verdict[lane] = Verdict::kPeer;
  return true;
}

// Not to a service: perhaps a reply whose connection another worker has.
void HandleForeign(Worker& worker, Batch& batch, int lane) {
  const Ipv4Tuple& tuple = batch.tuple[lane];
  const bool reply =
      worker.snapshot->endpoints.IsRealServer(tuple.source(), tuple.source_port(), tuple.protocol());
  if (reply && BelongsToPeer(worker, batch, lane, tuple.destination(), tuple.destination_port())) return;
  GiveToKernel(worker, batch, lane, reply ? Counter::kKernelNoConnection : Counter::kKernelNoService);
}

// In TCP, only a SYN opens a connection, whatever else it carries, unless that is RST.
bool Opens(const Ipv4Tuple& tuple, uint8_t tcp_flags) {
  return tuple.protocol() != Protocol::kTcp || (tcp_flags & (kTcpSyn | kTcpRst)) == kTcpSyn;
}

// A SYN on a closed connection: late packets of the old one may wait in this burst.
void ReplaceConnection(Worker& worker, Batch& batch, int lane) {
  Connection* closed = batch.connection[lane];
  for (int other : Lanes(batch.all())) {
    if (other == lane || batch.verdict[other] != Verdict::kNone || batch.connection[other] != closed)
      continue;
    Drop(worker, batch, other, Counter::kDropConnectionReused);
  }
  worker.wheel.Unfile(worker.connections.IndexOf(*closed));
  RemoveConnection(worker, *closed);
  worker.counters.Add(Counter::kConnectionsReused);
}

bool ScheduleLane(Worker& worker, Batch& batch, int lane) {
  const Ipv4Tuple& tuple = batch.tuple[lane];
  const Service* service =
      worker.snapshot->endpoints.FindService(tuple.destination(), tuple.destination_port(), tuple.protocol());
  if (service == nullptr) {
    HandleForeign(worker, batch, lane);
    return false;
  }
  if (BelongsToPeer(worker, batch, lane, tuple.source(), tuple.source_port())) return false;
  if (!Opens(tuple, batch.tcp_flags[lane])) {
    GiveToKernel(worker, batch, lane, Counter::kKernelNoConnection);
    return false;
  }
  if (CannotBeSource(tuple.source())) {
    Drop(worker, batch, lane, Counter::kDropIpSource);
    return false;
  }
  const int chosen = service->scheduler->Pick(tuple.ToFlowKey(), service->candidates);
  if (chosen == kNoCandidate) {
    Drop(worker, batch, lane, Counter::kRefusedNoDestination);
    return false;
  }
  const Candidate& candidate = service->candidates[chosen];
  if (service->spec.one_packet) {
    batch.one_packet[lane] = MakeConnection(worker, tuple, candidate);
    batch.connection[lane] = &batch.one_packet[lane];
    batch.direction[lane] = Direction::kIn;
    StatisticsLine::Add(worker.statistics[candidate.id].connections, 1);
    worker.counters.Add(Counter::kOnePacket);
    return true;
  }
  Connection* connection = CreateConnection(worker, tuple, candidate);
  if (connection == nullptr) {
    Drop(worker, batch, lane, Counter::kRefusedTableFull);
    return false;
  }
  // The next pick, perhaps in this very burst, must see the load as this packet leaves it. Track then finds
  // nothing left to change.
  if (connection->protocol == Protocol::kTcp) {
    ChangeState(worker, *connection, NextTcpState(Direction::kIn, batch.tcp_flags[lane], connection->state));
  }
  batch.connection[lane] = connection;
  batch.direction[lane] = Direction::kIn;
  return true;
}

}  // namespace

LaneMask Schedule(Worker& worker, Batch& batch, LaneMask fresh) {
  LaneMask refused = 0;
  bool created_any = false;
  for (int lane : Lanes(fresh)) {
    if (batch.verdict[lane] != Verdict::kNone) {  // replaced by an earlier lane
      refused |= LaneBit(lane);
      continue;
    }
    // An earlier packet of this burst may have made the connection.
    if (created_any) {
      const ConnectionEntry entry = worker.connections.Search(batch.tuple[lane], batch.hash[lane]);
      if (entry != 0 && &worker.connections.At(entry) != batch.connection[lane]) {
        batch.connection[lane] = &worker.connections.At(entry);
        batch.direction[lane] = ConnectionTable::DirectionOf(entry);
        continue;
      }
    }
    if (batch.connection[lane] != nullptr) ReplaceConnection(worker, batch, lane);
    if (ScheduleLane(worker, batch, lane)) {
      created_any = true;
    } else {
      refused |= LaneBit(lane);
    }
  }
  return refused;
}

}  // namespace sluice
