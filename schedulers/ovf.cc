// ovf: overflow; the highest weight until it has more active connections than that, then the next.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class Overflow final : public Scheduler {
 public:
  explicit Overflow(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    int best = kNoCandidate;
    int best_weight = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      const Candidate& candidate = candidates[i];
      if (!candidate.CanAccept() || candidate.load->Active() > candidate.weight) continue;
      if (candidate.weight <= best_weight) continue;
      best = i;
      best_weight = candidate.weight;
    }
    return best;
  }
};

const SchedulerEntry kEntry("ovf", MakeScheduler<Overflow>);

}  // namespace
}  // namespace sluice
