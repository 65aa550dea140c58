// lc: least-connection; the least overhead, whatever the weight (but 0).
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class LeastConnection final : public Scheduler {
 public:
  explicit LeastConnection(const SchedulerSetup& setup) : least_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override { return least_.Find(candidates); }
  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  LeastLoaded<PlainOverhead> least_;
};

const SchedulerEntry kEntry("lc", MakeScheduler<LeastConnection>);

}  // namespace
}  // namespace sluice
