// nq: never queue; the first idle destination, or else sed's choice.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class NeverQueue final : public Scheduler {
 public:
  explicit NeverQueue(const SchedulerSetup& setup) : least_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override { return least_.Find(candidates); }
  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  LeastLoaded<QueueFirst> least_;
};

const SchedulerEntry kEntry("nq", MakeScheduler<NeverQueue>);

}  // namespace
}  // namespace sluice
