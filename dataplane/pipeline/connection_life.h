// Birth, life and death of a connection, with all that is counted about them.
// Threads: the worker that owns the connection.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/service.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

// To whom a new connection goes.
struct Assignment {
  IpAddress address;
  Be16 port;
  DestinationId destination_id = kNoDestination;
  ForwardingMethod method =
      ForwardingMethod::kNat;            // as it was when the destination was chosen: it may be edited
  TemplateId template_id = kNoTemplate;  // held for the connection
  // With full NAT: taken for it.
  IpAddress local_address;
  Be16 local_port;
};

// A connection as it is before its first packet, in no table.
struct NewConnection {
  Connection connection;
  ConnectionAddresses addresses;  // of IPv6
};
NewConnection MakeConnection(Worker& worker, const FlowTuple& tuple, const FlowAddresses& addresses,
                             const Assignment& assignment);
// The state that its first packet leads to, before it is kept: so it is counted once, as what it will be.
// ChangeState to this state must follow.
void EnterFirstState(NewConnection& made, uint8_t state);

// Puts it into the table, where a packet from the server will find it after FinishInserts; nullptr if the
// table is full. `hash` is of the first packet.
Connection* KeepConnection(Worker& worker, const NewConnection& made, uint64_t hash);
// It has seen no packet of its own, and IPVS gives it three seconds for one.
void LiveBriefly(Worker& worker, Connection& connection);
// What was held or taken for a connection that did not come to be.
void Forgo(Worker& worker, const Assignment& assignment, Protocol protocol);
// REQUIRES: the timer wheel has it no longer.
void RemoveConnection(Worker& worker, Connection& connection);
// Removes a connection before its time, which the wheel still has.
void DropConnection(Worker& worker, Connection& connection);

// How long it lives without packets in its present state.
Jiffies TimeoutOf(const Worker& worker, const Connection& connection);

// Moves a connection to another protocol state: active and inactive counts, its template, and the timer if
// the new state's time is up sooner.
void ChangeState(Worker& worker, Connection& connection, uint8_t state);

// The state that a packet leads to, by TCP's flags or SCTP's event; UDP has one. A reply shows that replies
// come by here.
uint8_t NextState(const Worker& worker, Connection& connection, Direction direction, uint8_t signal);

// Puts it into the list of those that are evicted first, or takes it out, as its state and flags say.
void Relist(Worker& worker, Connection& connection);

}  // namespace sluice
