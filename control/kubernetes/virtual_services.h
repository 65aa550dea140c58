// The virtual services that a Service of Kubernetes is on this node.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <span>
#include <string>
#include <utility>
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

// Of several Services that claim one address and port the first of these has it: addresses that the cluster
// gave before those that anybody may write into a Service.
enum class ClaimKind { kClusterAddress, kNodePort, kLoadBalancer, kExternal };

// A virtual service that a Service wants.
struct Claim {
  Claim(v1::Service service, ClaimKind kind = ClaimKind::kClusterAddress, bool is_served = true)
      : service(std::move(service)), kind(kind), is_served(is_served) {}

  v1::Service service;
  ClaimKind kind;
  bool is_served;  // false: somebody else on this host serves it, and no other Service may
};

// A real server whose pod is being ended.
using Leaving = std::pair<std::string, uint32_t>;

struct Translation {
  std::vector<Claim> services;
  std::vector<std::string> complaints;  // about its annotations
  std::vector<std::string> unserved;    // addresses that are not served, and why
  uint32_t health_check_port = 0;       // 0: it has none
  uint32_t local_ready = 0;             // distinct addresses of its ready endpoints on this node
  std::vector<Leaving> leaving;
  // Usable endpoints exist, but none that the policy allows.
  bool lacks_internal = false;
  bool lacks_external = false;
};
Translation Translate(const ServiceObject& service, std::span<const SliceObject* const> slices,
                      const NodePolicy& policy);

}  // namespace sluice::kubernetes
