// sed: shortest expected delay; the least (active + 1) for its weight.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class ShortestExpectedDelay final : public Scheduler {
 public:
  explicit ShortestExpectedDelay(const SchedulerSetup& setup) : least_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override { return least_.Find(candidates); }
  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  LeastLoaded<ExpectedDelay> least_;
};

const SchedulerEntry kEntry("sed", MakeScheduler<ShortestExpectedDelay>);

}  // namespace
}  // namespace sluice
