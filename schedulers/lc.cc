// lc: least-connection; the least overhead, whatever the weight (but 0).
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class LeastConnection final : public Scheduler {
 public:
  explicit LeastConnection(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    int best = kNoCandidate;
    int64_t best_overhead = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (!candidates[i].CanAccept()) continue;
      const int64_t overhead = Overhead(candidates[i]);
      if (best != kNoCandidate && overhead >= best_overhead) continue;
      best = i;
      best_overhead = overhead;
    }
    return best;
  }
};

const SchedulerEntry kEntry("lc", MakeScheduler<LeastConnection>);

}  // namespace
}  // namespace sluice
