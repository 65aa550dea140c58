// fo: failover; the usable destination with the highest weight, always.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class Failover final : public Scheduler {
 public:
  explicit Failover(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    int best = kNoCandidate;
    int best_weight = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (!candidates[i].CanAccept() || candidates[i].weight <= best_weight) continue;
      best = i;
      best_weight = candidates[i].weight;
    }
    return best;
  }
};

const SchedulerEntry kEntry("fo", MakeScheduler<Failover>);

}  // namespace
}  // namespace sluice
