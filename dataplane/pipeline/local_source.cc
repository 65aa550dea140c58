// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/local_source.h"

#include "dataplane/pipeline/admission.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

// Where pools do not know of each other.
constexpr int kTries = 4;

bool IsTaken(Worker& worker, const Assignment& assignment, Protocol protocol) {
  worker.connections.FinishInserts();  // of this burst, which replies would not find yet
  const bool is_v6 = !assignment.address.IsV4();
  const FlowTuple reply = FlowTuple::Of(AddressWord(assignment.address, worker.secret),
                                        AddressWord(assignment.local_address, worker.secret), assignment.port,
                                        assignment.local_port, protocol, is_v6);
  return worker.connections.Search(reply, {assignment.address.V6(), assignment.local_address.V6()},
                                   worker.connections.Hash(reply)) != 0;
}

bool TakePort(Worker& worker, const LocalSource& source, Assignment& assignment) {
  for (int i = 0; i < kTries; ++i) {
    const std::optional<Be16> port = source.ports->Take(worker.index);
    if (!port) return false;
    assignment.local_address = source.address;
    assignment.local_port = *port;
    if (!source.ports->MayMeetOthers() || !IsTaken(worker, assignment, source.protocol)) return true;
    source.ports->Give(worker.index, *port);
  }
  return false;
}

enum class Search { kTaken, kExhausted, kNone };

// A port of any source that leads to the destination. Each client begins with another, so that all are used
// alike.
Search TakeFromAny(Worker& worker, const std::vector<LocalSource>& sources, Protocol protocol,
                   uint64_t flow_hash, Assignment& assignment) {
  const int interface = worker.forwarding->InterfaceTowards(assignment.address);
  Search search = Search::kNone;
  size_t at = sources.empty() ? 0 : (flow_hash >> 32) % sources.size();
  for (size_t i = 0; i < sources.size(); ++i, at = at + 1 == sources.size() ? 0 : at + 1) {
    const LocalSource& source = sources[at];
    if (source.protocol != protocol || (source.interface != 0 && source.interface != interface)) continue;
    if (TakePort(worker, source, assignment)) return Search::kTaken;
    search = Search::kExhausted;
  }
  return search;
}

}  // namespace

bool TakeLocalSource(Worker& worker, Batch& batch, int lane, const Service& service, Assignment& assignment) {
  if (assignment.method != ForwardingMethod::kFullNat) return true;
  const auto found = service.local_sources.find(assignment.destination_id);
  const bool known = found != service.local_sources.end();
  const Protocol protocol = batch.tuple[lane].protocol();
  Search search =
      known ? TakeFromAny(worker, found->second, protocol, batch.hash[lane], assignment) : Search::kNone;
  if (search == Search::kExhausted && EvictForPort(worker, batch, lane, assignment.destination_id))
    search = TakeFromAny(worker, found->second, protocol, batch.hash[lane], assignment);
  if (search == Search::kTaken) return true;
  Drop(worker, batch, lane,
       search == Search::kExhausted ? Counter::kRefusedPortsExhausted : Counter::kRefusedNoLocalAddress);
  return false;
}

bool TakeThisLocalSource(Worker& worker, const Assignment& assignment, Protocol protocol) {
  const DestinationId id = assignment.destination_id;
  const Endpoint server = {worker.destinations.address(id), worker.destinations.port(id), protocol};
  const PortPoolIndex* pools = worker.snapshot->port_pools.get();
  if (pools == nullptr) return false;
  const auto found = pools->find({assignment.local_address, server});
  if (found == pools->end() || IsTaken(worker, assignment, protocol)) return false;
  return found->second->TakeThis(worker.index, assignment.local_port);
}

void GiveLocalPortBack(Worker& worker, const IpAddress& address, Be16 port, Protocol protocol,
                       DestinationId destination_id) {
  const Endpoint server = {worker.destinations.address(destination_id),
                           worker.destinations.port(destination_id), protocol};
  worker.snapshot->port_pools->at({address, server})->Give(worker.index, port);
}

}  // namespace sluice
