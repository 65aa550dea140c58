// The virtual services that a Service of Kubernetes is on this node.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <span>
#include <string>
#include <vector>

#include "control/kubernetes/node_policy.h"
#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {

// Names a virtual service.
struct VirtualKey {
  v1::Protocol protocol = v1::TCP;
  std::string address;
  uint32_t port = 0;

  static VirtualKey Of(const v1::ServiceKey& key) { return {key.protocol(), key.address(), key.port()}; }
  friend auto operator<=>(const VirtualKey&, const VirtualKey&) = default;
};

struct Translation {
  std::vector<v1::Service> services;
  std::vector<std::string> complaints;  // about its annotations
  uint32_t health_check_port = 0;       // 0: it has none
  uint32_t local_ready = 0;             // distinct addresses of its ready endpoints on this node
  std::vector<std::string> leaving;     // addresses of endpoints whose pods are being ended
  // Usable endpoints exist, but none that the policy allows.
  bool lacks_internal = false;
  bool lacks_external = false;
};
Translation Translate(const ServiceObject& service, std::span<const SliceObject* const> slices,
                      const NodePolicy& policy);

}  // namespace sluice::kubernetes
