// Which connections a worker tells of, for another balancer to know them, and when.
// Threads: the worker that owns the connection.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/worker.h"

namespace sluice {

// Whether another balancer can have it: not with full NAT, whose ports only we know, nor with a real server
// of the other family.
bool CanBeAnnounced(const Worker& worker, const Connection& connection);
// Both sides are yet to speak. IPVS does not tell of these.
bool IsHalfOpen(const Connection& connection);
SyncUpdate UpdateOf(const Worker& worker, const Connection& connection);

// Tells of it, if it can be and both sides have spoken, or half-open ones are wanted, too: at once, if
// somebody listens, and otherwise soon.
void Announce(Worker& worker, Connection& connection);
// Its state has changed.
void AnnounceState(Worker& worker, Connection& connection);
// The timer wheel came by, and it lives on: whoever was told of it would soon forget it.
void AnnounceAgain(Worker& worker, Connection& connection);
// It goes before its time.
void AnnounceEnd(Worker& worker, const Connection& connection);

}  // namespace sluice
