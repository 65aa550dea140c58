// ovf: overflow; the highest weight until it has more active connections than that, then the next.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

// The least is who has the greatest weight.
struct Overflowing : AnyShare {
  static bool Serves(const DestinationLoad& load, int32_t weight) { return load.Active() <= weight; }
  static LoadShare Of(const DestinationLoad&, int32_t weight) { return {-int64_t{weight}, 1}; }
};

class Overflow final : public Scheduler {
 public:
  explicit Overflow(const SchedulerSetup& setup) : least_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override { return least_.Find(candidates); }
  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  LeastLoaded<Overflowing> least_;
};

const SchedulerEntry kEntry("ovf", MakeScheduler<Overflow>);

}  // namespace
}  // namespace sluice
