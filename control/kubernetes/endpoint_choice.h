// Which endpoints serve a port of a Service, as Kubernetes' policies and hints have it.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/kubernetes/node_policy.h"
#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {

// One of a port.
struct Endpoint {
  std::string address;
  uint32_t port = 0;
  const EndpointObject* object = nullptr;
  bool is_local = false;
  bool can_be_served = true;
};

// All endpoints of a service's port in one family, by address and port, each once.
std::vector<Endpoint> EndpointsOf(std::span<const SliceObject* const> slices, const ServicePort& port,
                                  bool is_v6, const NodePolicy& policy);

struct EndpointChoice {
  std::vector<Endpoint> anywhere;  // for policy Cluster
  std::vector<Endpoint> here;      // for policy Local
  bool any_usable = false;         // somewhere
};
EndpointChoice Choose(const std::vector<Endpoint>& endpoints, const NodePolicy& policy);

}  // namespace sluice::kubernetes
