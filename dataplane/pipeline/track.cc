// Track: what a packet does to its connection.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/rewrite_icmp.h"
#include "dataplane/pipeline/stages.h"
#include "dataplane/pipeline/transport_checksum.h"
#include "dataplane/pipeline/tunnel_error.h"

namespace sluice {
namespace {

inline void CountPacket(Worker& worker, const Connection& connection, Direction direction, uint16_t bytes) {
  StatisticsLine::Traffic& traffic =
      worker.statistics[connection.destination_id].traffic[static_cast<int>(direction)];
  StatisticsLine::Add(traffic.packets, 1);
  StatisticsLine::Add(traffic.bytes, bytes);
}

// A second packet of the client, or a reply, makes it a connection; a reply also assures its template.
void TrackUdp(Worker& worker, Connection& connection, Direction direction) {
  const bool had_begun = connection.Has(kConnectionRepeated);
  if (direction == Direction::kOut) {
    connection.flags |= kConnectionAnswered;
    if (connection.template_id != kNoTemplate) worker.persistence.Assure(connection.template_id);
  } else if (connection.in_packets > 0) {
    connection.flags |= kConnectionRepeated;
  }
  Relist(worker, connection);
  if (had_begun) return;
  const bool begins = connection.Has(kConnectionRepeated | kConnectionAnswered);
  if (begins ? worker.sync.which == SyncPolicy::Which::kAll : worker.sync.half_open)
    Announce(worker, connection);
}

// The first packet of the server: what the client has claimed of the connection is true.
void TrackFirstReply(Worker& worker, Connection& connection) {
  connection.flags |= kConnectionAnswered;
  const bool was_unanswered = connection.Has(kConnectionUnanswered);
  Relist(worker, connection);
  const bool begins = was_unanswered && !connection.Has(kConnectionUnanswered);
  if (begins && worker.sync.which != SyncPolicy::Which::kNone) AnnounceState(worker, connection);
}

// A packet that leads to another state; one whose checksum is wrong leads nowhere.
void TrackNewState(Worker& worker, Batch& batch, int lane, uint8_t state) {
  if (MayMoveState(batch, lane)) return ChangeState(worker, *batch.connection[lane], state);
  worker.counters.Add(Counter::kWrongChecksum);
}

// An error is counted, and changes nothing. What NAT will compute anew must have been right. False: it goes
// no further.
bool TrackIcmpError(Worker& worker, Batch& batch, int lane) {
  if (batch.connection[lane]->IsNat() && !HasSoundIcmpChecksum(batch, lane)) {
    Drop(worker, batch, lane, Counter::kDropIcmpChecksum);
    return false;
  }
  if (batch.traits[lane] & kAvailable)
    CountPacket(worker, *batch.connection[lane], batch.direction[lane], batch.ip_length[lane]);
  return true;
}

// True: the packet goes no further.
bool IsOutOfTime(Worker& worker, Batch& batch, int lane) {
  const uint8_t traits = batch.traits[lane];
  const Direction direction = batch.direction[lane];
  if ((traits & kDrainOver) && batch.tuple[lane].protocol() == Protocol::kTcp &&
      !batch.IsLaterFragment(lane) && !(batch.signal[lane] & kTcpRst)) {
    AnswerWith(worker, batch, lane, Reply::kReset, Counter::kDropDrainOver);
    return true;
  }
  if (traits & kDrainOver) {
    Drop(worker, batch, lane, Counter::kDropDrainOver);
    return true;
  }
  if ((traits & kAvailable) || direction == Direction::kOut) return false;
  Drop(worker, batch, lane, Counter::kDropDestinationRemoved);
  return true;
}

}  // namespace

LaneMask Track(Worker& worker, Batch& batch, LaneMask lanes) {
  LaneMask live = 0;
  const uint32_t announced_packet =
      worker.sync.which == SyncPolicy::Which::kPackets ? worker.sync.packets : 0;
  lanes &= ~batch.forgotten;
  for (int lane : Lanes(lanes & ~batch.plain)) {
    if (batch.IsAboutTunnel(lane)) {
      lanes &= ~LaneBit(lane);
      TrackTunnelError(worker, batch, lane);
    } else if (batch.IsAboutFlow(lane)) {
      lanes &= ~LaneBit(lane);
      if (TrackIcmpError(worker, batch, lane)) live |= LaneBit(lane);
    }
  }
  for (int lane : Lanes(lanes)) {
    Connection& connection = *batch.connection[lane];
    const Direction direction = batch.direction[lane];
    const uint8_t traits = batch.traits[lane];
    if ((traits & (kAvailable | kDrainOver)) != kAvailable && IsOutOfTime(worker, batch, lane)) continue;
    live |= LaneBit(lane);
    if (traits & kAvailable) CountPacket(worker, connection, direction, batch.ip_length[lane]);
    if (batch.IsLaterFragment(lane)) {
      // The first has said everything.
    } else if (connection.protocol == Protocol::kUdp) {
      const uint16_t settled =
          direction == Direction::kIn ? kConnectionRepeated | kConnectionAnswered : kConnectionAnswered;
      if (!connection.Has(settled)) TrackUdp(worker, connection, direction);
    } else if (!(batch.scheduled & LaneBit(lane))) {
      const uint8_t next = NextState(worker, connection, direction, batch.signal[lane]);
      if (next != connection.state) TrackNewState(worker, batch, lane, next);
      if (direction == Direction::kOut && !connection.Has(kConnectionAnswered)) [[unlikely]]
        TrackFirstReply(worker, connection);
    }
    const Jiffies timeout = traits & kOwnTimeouts ? TimeoutOf(worker, connection)
                                                  : worker.timeouts.Of(connection.protocol, connection.state);
    connection.deadline = worker.now + timeout;
    connection.in_packets += direction == Direction::kIn;
    if (connection.in_packets == announced_packet && direction == Direction::kIn) [[unlikely]]
      Announce(worker, connection);
  }
  return live;
}

}  // namespace sluice
