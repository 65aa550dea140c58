// nq: never queue; the first idle destination, or else sed's choice.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class NeverQueue final : public Scheduler {
 public:
  explicit NeverQueue(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (candidates[i].CanAccept() && candidates[i].load->Active() == 0) return i;
    }
    return LeastLoaded(candidates, ExpectedActive);
  }
};

const SchedulerEntry kEntry("nq", MakeScheduler<NeverQueue>);

}  // namespace
}  // namespace sluice
