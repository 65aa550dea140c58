// Admission: a place in the connection table for a new connection, and who goes for it when there is none.
// The policy in words is in dataplane/README.md, "When something is full"; its numbers are here.
// Threads: the worker that owns the table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {

// Unanswered connections above this part of the table go before idle ones, below it after them: a flood takes
// no more than that from anybody, and a handshake has that much room to be completed in.
inline constexpr uint32_t kUnansweredShare = 8;
// A network of clients or a service with more than this part of the table gives active connections away, to
// others and when nothing else can go.
inline constexpr uint32_t kShareOfOne = 2;
// How long a connection must have been without packets to count as idle.
inline constexpr Jiffies kIdleUdp = JiffiesFromSeconds(1);
inline constexpr Jiffies kIdleExchange = JiffiesFromSeconds(1) / 10;  // a datagram and its reply, as of DNS
inline constexpr Jiffies kIdleEstablished = JiffiesFromSeconds(60);
// Where replies do not pass, a connection of so few packets may be a spoofed handshake.
inline constexpr Jiffies kIdleYoung = JiffiesFromSeconds(5);
inline constexpr uint32_t kYoungPackets = 4;
// Bounds on the work of one eviction.
inline constexpr int kUnansweredLooks = 8;
inline constexpr int kIdleLooks = 32;
inline constexpr int kPortLooks = 32;

// The new connection in the table; nullptr: it was refused, and the lane has its verdict.
Connection* Admit(Worker& worker, Batch& batch, int lane, const NewConnection& wanted);

// Full NAT: evicts a connection to this destination, closed or unanswered, so that there is a local port.
// Returns false if there is none among the first.
bool EvictForPort(Worker& worker, Batch& batch, int lane, DestinationId destination);

// Asks for the memory of so many connections that will be kept, and of those that will be evicted for them.
void PrefetchRoom(const Worker& worker, int count);

// Removes a connection for the sake of this lane's; its late packets in this burst are dropped.
void RemoveInBurst(Worker& worker, Batch& batch, int lane, Connection* connection);

}  // namespace sluice
