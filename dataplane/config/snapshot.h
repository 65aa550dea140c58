// The configuration as workers use it, whole and immutable. A worker reads it once per burst.
// Threads: built on the control thread by SnapshotBuilder, then read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/config/endpoint_index.h"
#include "dataplane/config/service.h"
#include "dataplane/config/spec.h"

namespace sluice {

enum class EndpointRole : uint8_t {
  kVirtual,     // packets to it are for Sluice
  kRealServer,  // packets from it may be replies for Sluice
};

struct EndpointChange {
  Endpoint endpoint;
  EndpointRole role;
  bool added;  // or removed

  friend bool operator==(const EndpointChange&, const EndpointChange&) = default;
};

struct Snapshot {
  uint64_t generation = 0;
  TimeoutSpec timeouts;
  EndpointIndex endpoints;
  std::vector<std::shared_ptr<const Service>> services;  // by key
  // What steering must learn on the way here from the snapshot before, in order. Removed destinations keep
  // their roles while they have connections.
  std::vector<EndpointChange> endpoint_changes;
};

}  // namespace sluice
