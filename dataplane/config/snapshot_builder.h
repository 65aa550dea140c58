// Turns wanted services into snapshots, touching only what changed, and keeps destinations across
// changes: ids, scheduler memory, and IPVS's trash of removed ones, whose connections may go on.
// It cannot fail: its input is valid and the number of destinations was checked.
// Threads: the control thread only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/config/spec.h"

namespace sluice {

class SnapshotBuilder {
 public:
  using Clock = std::chrono::steady_clock;

  // `owners`: which worker will have a flow, for full NAT.
  explicit SnapshotBuilder(DestinationTable& destinations, const FlowOwners& owners = {})
      : destinations_(destinations), port_pools_(owners) {}

  void SetGlobal(const GlobalSpec& global);
  // Add a service or replace its settings and destinations. Destinations that stay keep their connections
  // and their place in the list.
  void Put(const ServiceSpec& spec);
  void Delete(const ServiceKey& key);
  // nullptr if it is not there.
  const Service* Find(const ServiceKey& key) const;

  // The configuration as it is now. Every snapshot built must be published, in order.
  std::shared_ptr<const Snapshot> Build();
  // To be called when all workers use what was built last: what was removed becomes unavailable.
  void Published();

  // Forgets removed destinations some time after their last connection.
  struct Freed {
    ServiceKey service;
    DestinationId id;
  };
  std::vector<Freed> EmptyTrash(Clock::time_point now);
  size_t trash_size() const { return trash_.size(); }

  // Ends the time of drained and removed destinations' connections. Call it about once a second.
  void EndDrains(Clock::time_point now);

 private:
  struct Entry {
    std::shared_ptr<const Service> service;
    std::vector<PortPoolKey> port_pools;  // that it retains
    uint32_t next_ordinal = 1;
  };
  struct Removed {
    DestinationId id = kNoDestination;
    std::optional<Clock::time_point> unreferenced_since;
  };
  using DestinationName = std::pair<ServiceKey, Endpoint>;
  using References = std::unordered_map<Endpoint, uint32_t, EndpointHash>;
  using Prefix = std::pair<IpAddress, uint8_t>;

  struct Drain {
    std::chrono::seconds limit;
    std::optional<Clock::time_point> since;  // the first EndDrains that saw it
  };

  void Configure(const ServiceSpec& spec, const DestinationSpec& wanted, DestinationId id);
  std::vector<PortPoolKey> AddLocalSources(Service& service);
  void CountGuePorts(const Service& service, int by);
  void BuildFwmarks(Snapshot& snapshot);
  void StartDrain(DestinationId id, uint32_t seconds);
  void StopDrain(DestinationId id);
  void RetainAll(const DestinationName& name);
  void ReleaseAll(const DestinationName& name);
  // `newest`: of the service's destinations.
  DestinationId Adopt(const DestinationName& name, DestinationId newest);
  void Remove(const DestinationName& name, DestinationId id, uint32_t drain_seconds);
  void Index(EndpointRole role, const Endpoint& endpoint, uint32_t count);
  void Retain(References& references, EndpointRole role, const Endpoint& endpoint);
  void Release(References& references, EndpointRole role, const Endpoint& endpoint);

  DestinationTable& destinations_;
  PortPools port_pools_;
  std::map<uint16_t, int> gue_ports_;  // and how many destinations use them
  GlobalSpec global_;
  uint64_t generation_ = 0;
  EndpointIndex endpoints_;
  ServiceMap services_;           // of entries_
  std::set<ServiceKey> fwmarks_;  // those of them that have one
  size_t ipv6_services_ = 0;
  std::map<ServiceKey, Entry> entries_;
  std::map<DestinationName, Removed> trash_;
  std::vector<DestinationId> leaving_;  // unavailable once published
  References virtual_references_;       // by services and by their destinations, removed ones included
  References real_references_;          // by destinations, removed ones included
  std::vector<EndpointChange> endpoint_changes_;
  std::map<DestinationId, Drain> drains_;
  std::vector<FwmarkRule> classified_;  // by classifier_
  std::shared_ptr<const FwmarkClassifier> classifier_;
  std::set<Prefix> prefixes_;  // that steering knows
};

}  // namespace sluice
