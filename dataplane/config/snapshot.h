// The configuration as workers use it, whole and immutable. A worker reads it once per burst.
// Threads: built on the control thread by SnapshotBuilder, then read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/config/endpoint_index.h"
#include "dataplane/config/fwmark_classifier.h"
#include "dataplane/config/port_pools.h"
#include "dataplane/config/service.h"
#include "dataplane/config/service_map.h"
#include "dataplane/config/spec.h"

namespace sluice {

enum class EndpointRole : uint8_t {
  kVirtual,     // packets to it are for Sluice
  kRealServer,  // packets from it may be replies for Sluice
};

// Of an endpoint that stands for an address alone: fragments, which have no ports, are told by it.
inline constexpr Protocol kAnyProtocol{0};

struct EndpointChange {
  Endpoint endpoint;
  EndpointRole role;
  bool added;  // or removed

  friend bool operator==(const EndpointChange&, const EndpointChange&) = default;
};

// All packets to these addresses may be Sluice's: a mark's rule.
struct PrefixChange {
  IpAddress prefix;
  uint8_t prefix_length;
  bool added;  // or removed

  friend bool operator==(const PrefixChange&, const PrefixChange&) = default;
};

struct Snapshot {
  uint64_t generation = 0;
  TimeoutSpec timeouts;
  Settings settings;
  bool has_ipv6 = false;  // a service's clients may be
  EndpointIndex endpoints;
  std::shared_ptr<const FwmarkClassifier> classifier;      // nullptr: no mark has a service
  std::unordered_map<uint64_t, const Service*> by_fwmark;  // FwmarkName
  ServiceMap services;
  // Full NAT's: all that some service or connection uses, and the addresses they are of.
  std::shared_ptr<const PortPoolIndex> port_pools;
  std::vector<IpAddress> local_addresses;  // sorted
  std::vector<Be16> gue_ports;             // in use
  // What steering must learn on the way here from the snapshot before, in order. Removed destinations keep
  // their roles while they have connections.
  std::vector<EndpointChange> endpoint_changes;
  std::vector<PrefixChange> prefix_changes;

  static uint64_t FwmarkName(uint32_t fwmark, const IpAddress& of_family) {
    return fwmark | uint64_t{!of_family.IsV4()} << 32;
  }

  // The service of a packet to this endpoint, or nullptr: by its mark first.
  const Service* FindService(const IpAddress& address, Be16 port, Protocol protocol) const {
    if (classifier != nullptr) {
      const auto marked = by_fwmark.find(FwmarkName(classifier->MarkOf(address, port, protocol), address));
      if (marked != by_fwmark.end()) return marked->second;
    }
    return endpoints.FindService(address, port, protocol);
  }
};

}  // namespace sluice
