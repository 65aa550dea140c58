// Connections that another balancer has had until now, for the worker that owns them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/local_source.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/question.h"

namespace sluice {

class AdoptQuery final : public Question {
 public:
  static constexpr int kRoom = 32;

  int count = 0;
  std::array<AdoptedConnection, kRoom> connections;
  int made = 0;     // that were not here
  int present = 0;  // that were

  void Answer(Worker& worker) override {
    made = present = 0;
    for (int i = 0; i < count; ++i) {
      if (!worker.destinations.IsAvailable(connections[i].destination_id)) continue;
      if (!connections[i].flow.source.CanBeHost()) continue;
      Adopt(worker, connections[i]);
    }
    worker.connections.FinishInserts();
  }

 private:
  void Adopt(Worker& worker, const AdoptedConnection& adopted) {
    const FlowKey& flow = adopted.flow;
    const bool is_v6 = !flow.source.IsV4();
    const FlowTuple tuple =
        FlowTuple::Of(AddressWord(flow.source, worker.secret), AddressWord(flow.destination, worker.secret),
                      flow.source_port, flow.destination_port, flow.protocol, is_v6);
    const FlowAddresses addresses = {flow.source.V6(), flow.destination.V6()};
    const uint64_t hash = worker.connections.Hash(tuple);
    Connection* connection = nullptr;
    if (const ConnectionEntry entry = worker.connections.Search(tuple, addresses, hash); entry != 0) {
      connection = &worker.connections.At(entry);
      if (connection->destination_id == adopted.destination_id) {
        ++present;
      } else {  // it has begun anew meanwhile
        connection->flags &= static_cast<uint16_t>(~kConnectionAnnounced);
        DropConnection(worker, *connection);
        connection = nullptr;
      }
    }
    if (connection == nullptr) {
      const ForwardingMethod method = worker.destinations.way(adopted.destination_id).method;
      const Assignment assignment = {.address = adopted.server.address,
                                     .port = adopted.server.port,
                                     .destination_id = adopted.destination_id,
                                     .method = method,
                                     .local_address = adopted.local_address,
                                     .local_port = adopted.local_port};
      const bool is_full_nat = method == ForwardingMethod::kFullNat;
      if (is_full_nat != (adopted.local_port != Be16{})) return;  // the method was edited since
      if (is_full_nat && !TakeThisLocalSource(worker, assignment, flow.protocol)) return;
      connection = KeepConnection(worker, MakeConnection(worker, tuple, addresses, assignment), hash);
      if (connection == nullptr) {
        Forgo(worker, assignment, flow.protocol);
        return;
      }
      // A later one of these may be the same.
      worker.connections.FinishInserts();
      ++made;
    }
    connection->flags &= static_cast<uint16_t>(~kConnectionLent);
    connection->flags |= kConnectionAnswered;
    const SyncPolicy policy = worker.sync;
    worker.sync = {};  // whoever had it knows it
    ChangeState(worker, *connection, adopted.state);
    worker.sync = policy;
    if (CanBeAnnounced(worker, *connection)) connection->flags |= kConnectionAnnounced;
    connection->in_packets = std::max<uint32_t>(connection->in_packets, 1);
    const uint32_t index = worker.connections.IndexOf(*connection);
    worker.wheel.Unfile(index);
    connection->deadline = worker.now + JiffiesFromSeconds(adopted.expires_seconds);
    connection->filed_for = worker.wheel.File(index, connection->deadline);
  }
};

}  // namespace sluice
