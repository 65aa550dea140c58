// What only Sluice has, said by annotations of a Service: lb.sluice/scheduler and so on.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {

struct Wishes {
  std::string scheduler;  // empty: the node's
  std::vector<v1::SchedulerFlag> scheduler_flags;
  std::optional<v1::ForwardingMethod> method;
  v1::Tunnel tunnel;
  bool one_packet = false;
  v1::Timeouts timeouts;  // 0: the global ones
  uint32_t drain_seconds = 0;
  std::optional<v1::NoDestinationPolicy> no_destination;
  // Annotations that are wrong, and ignored: each with its value and the rule.
  std::vector<std::string> complaints;
};
Wishes ReadAnnotations(const ServiceObject& service);

// The flags that a scheduler has by default, as kube-proxy sets them.
std::vector<v1::SchedulerFlag> DefaultFlags(const std::string& scheduler);
// What a scheduler may be called.
bool IsScheduler(const std::string& name);

}  // namespace sluice::kubernetes
