// The configuration of this moment, as the oracle needs it: destinations and their services, and ways.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/config/forwarding_builder.h"
#include "tests/fuzz/pipeline_fuzz/flow.h"

namespace sluice::fuzz {

// A way to a neighbour.
struct Way {
  uint16_t port;
  std::optional<uint16_t> vlan;
  std::array<uint8_t, 6> source_mac;
  std::array<uint8_t, 6> mac;
  uint16_t mtu;
};

class Book {
 public:
  void SetForwarding(const ForwardingSpec& spec) { forwarding_ = spec; }
  void SetGlobal(const GlobalSpec& global) { global_ = global; }
  void Learn(const Snapshot& snapshot);

  // By the longest prefix, over links that are up, to neighbours that are known.
  std::vector<Way> WaysTo(const Address& target) const;
  bool HasVlan(uint16_t port, uint16_t vlan) const;
  // MTU of the link; 0: there is none.
  uint16_t MtuOf(uint16_t port, std::optional<uint16_t> vlan) const;
  // True if packets with these names are for the service.
  bool IsFor(const ServiceKey& key, const Names& names) const;
  // The service of a destination; of an id that was freed: the last. nullptr: of none, ever.
  const ServiceKey* ServiceOf(DestinationId id) const;
  // Flows of a datagram that is scheduled by itself: to every destination that it may go to.
  std::vector<Flow> OnePacketFlows(const Names& names) const;

 private:
  ForwardingSpec forwarding_;
  GlobalSpec global_;
  std::map<DestinationId, ServiceKey> services_;
  std::vector<std::shared_ptr<const Service>> by_key_;
};

}  // namespace sluice::fuzz
