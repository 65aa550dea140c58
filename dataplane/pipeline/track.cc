// Track: what a packet does to its connection.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

void CountPacket(Worker& worker, const Connection& connection, Direction direction, uint16_t bytes) {
  StatisticsLine& line = worker.statistics[connection.destination_id];
  if (direction == Direction::kIn) {
    StatisticsLine::Add(line.in_packets, 1);
    StatisticsLine::Add(line.in_bytes, bytes);
  } else {
    StatisticsLine::Add(line.out_packets, 1);
    StatisticsLine::Add(line.out_bytes, bytes);
  }
}

}  // namespace

LaneMask Track(Worker& worker, Batch& batch, LaneMask lanes) {
  LaneMask live = 0;
  for (int lane : Lanes(lanes)) {
    if (batch.verdict[lane] != Verdict::kNone) continue;  // Schedule replaced its connection
    Connection& connection = *batch.connection[lane];
    const Direction direction = batch.direction[lane];
    const bool available = worker.destinations.IsAvailable(connection.destination_id);
    if (!available && direction == Direction::kIn) {
      Drop(worker, batch, lane, Counter::kDropDestinationRemoved);
      continue;
    }
    if (available) CountPacket(worker, connection, direction, batch.ip_length[lane]);
    if (connection.protocol == Protocol::kTcp) {
      const uint8_t next = NextTcpState(direction, batch.tcp_flags[lane], connection.state);
      if (next != connection.state) ChangeState(worker, connection, next);
    }
    connection.deadline = worker.now + worker.timeouts.Of(connection.protocol, connection.state);
    connection.in_packets += direction == Direction::kIn;
    live |= LaneBit(lane);
  }
  return live;
}

}  // namespace sluice
