// wlc: weighted least-connection; the smallest (256 x active + total) / weight wins, the earlier in the list
// among equals. ipvsadm's default.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

int64_t Overhead(const Candidate& candidate) {
  return int64_t{candidate.load->Active()} * 256 + candidate.load->Total();
}

class WeightedLeastConnection final : public Scheduler {
 public:
  explicit WeightedLeastConnection(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    int best = kNoCandidate;
    int64_t best_overhead = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      const Candidate& candidate = candidates[i];
      if (!candidate.CanAccept()) continue;
      const int64_t overhead = Overhead(candidate);
      // overhead / weight compared without a division
      if (best == kNoCandidate || best_overhead * candidate.weight > overhead * candidates[best].weight) {
        best = i;
        best_overhead = overhead;
      }
    }
    return best;
  }
};

const SchedulerEntry kEntry("wlc", MakeScheduler<WeightedLeastConnection>);

}  // namespace
}  // namespace sluice
