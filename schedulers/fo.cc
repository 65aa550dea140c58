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
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (!candidates[i].CanAccept()) continue;
      if (best == kNoCandidate || candidates[i].weight > candidates[best].weight) best = i;
    }
    return best;
  }
};

const SchedulerEntry kEntry("fo", MakeScheduler<Failover>);

}  // namespace
}  // namespace sluice
