// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/sync_plan.h"

#include "absl/strings/str_cat.h"

namespace sluice {

// There is one backup daemon a network namespace: ours, or somebody else's. An interface of the same name may
// be another, if somebody has deleted ours: then neither the socket nor the daemon, which listens to the one
// that has gone, works.
SyncPlan PlanSync(const KernelDaemon& wanted, const SyncObserved& observed) {
  SyncPlan plan;
  const bool is_same =
      observed.interface_index != 0 && observed.interface_index == observed.sends_over && !observed.is_broken;
  const bool had_one = observed.sends_over != 0;
  plan.makes_interface = plan.opens_socket = !is_same;
  plan.starts = true;
  for (const KernelDaemon& daemon : observed.daemons) {
    if (!daemon.is_backup) continue;
    if (daemon.interface != wanted.interface) {
      plan.problem = absl::StrCat("the kernel's backup daemon is somebody else's (", daemon.interface,
                                  ", syncid ", daemon.sync_id, "): live connections are not told");
    } else if (daemon.sync_id == wanted.sync_id && (is_same || !had_one)) {
      plan.starts = false;
    } else {
      plan.stops.push_back(daemon);
    }
  }
  return plan;
}

}  // namespace sluice
