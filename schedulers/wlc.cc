// wlc: weighted least-connection; the least overhead for its weight.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class WeightedLeastConnection final : public Scheduler {
 public:
  explicit WeightedLeastConnection(const SchedulerSetup& setup) : least_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override { return least_.Find(candidates); }
  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  LeastLoaded<WeightedOverhead> least_;
};

const SchedulerEntry kEntry("wlc", MakeScheduler<WeightedLeastConnection>);

}  // namespace
}  // namespace sluice
