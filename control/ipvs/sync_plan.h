// Plans the steps that replicate connections to the kernel, from observed state alone.
// Threads: values; pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "control/ipvs/kernel_ipvs.h"

namespace sluice {

struct SyncObserved {
  int interface_index = 0;  // 0: it is not there
  int sends_over = 0;       // the interface that the socket was opened for; 0: there is no socket
  bool is_broken = false;   // a message could not be sent
  std::vector<KernelDaemon> daemons;
};

struct SyncPlan {
  // In this order.
  std::string problem;  // not empty: nothing can be done, and why
  bool makes_interface = false;
  std::vector<KernelDaemon> stops;  // ours, of the past
  bool starts = false;              // and tells of everything afterwards
  bool opens_socket = false;
};

// `wanted` is the daemon that shall listen.
SyncPlan PlanSync(const KernelDaemon& wanted, const SyncObserved& observed);

}  // namespace sluice
