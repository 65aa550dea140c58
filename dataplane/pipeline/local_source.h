// Full NAT: the address and port from which a real server sees a client.
// Threads: the worker that owns the connection.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/connection_life.h"

namespace sluice {

// Takes one for a new connection of the lane, if its real server has full NAT. False: there is none to be
// had, and the lane is refused.
bool TakeLocalSource(Worker& worker, Batch& batch, int lane, const Service& service, Assignment& assignment);

// Takes this very one, for a connection that has had it elsewhere. False: it is not to be had.
bool TakeThisLocalSource(Worker& worker, const Assignment& assignment, Protocol protocol);

// The port is free again.
void GiveLocalPortBack(Worker& worker, const IpAddress& address, Be16 port, Protocol protocol,
                       DestinationId destination_id);

}  // namespace sluice
