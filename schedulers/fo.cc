// fo: failover; the usable destination with the highest weight, always.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/accepting.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class Failover final : public Scheduler {
 public:
  explicit Failover(const SchedulerSetup& setup) : accepting_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate>) override {
    const int32_t greatest = accepting_.GreatestWeight();
    return greatest == 0 ? kNoCandidate : accepting_.First(0, greatest);
  }

 private:
  const Accepting accepting_;
};

const SchedulerEntry kEntry("fo", MakeScheduler<Failover>);

}  // namespace
}  // namespace sluice
