// Birth and death of a connection, with all that is counted about them.
// Threads: the worker that owns the connection.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/service.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

// A connection as it is before its first packet, in no table.
Connection MakeConnection(Worker& worker, const Ipv4Tuple& tuple, const Candidate& candidate);

// nullptr if the table is full.
Connection* CreateConnection(Worker& worker, const Ipv4Tuple& tuple, const Candidate& candidate);
// REQUIRES: the timer wheel has it no longer.
void RemoveConnection(Worker& worker, Connection& connection);

// Moves a connection to another protocol state: active and inactive counts, and the timer if the new
// state's time is up sooner.
void ChangeState(Worker& worker, Connection& connection, uint8_t state);

}  // namespace sluice
