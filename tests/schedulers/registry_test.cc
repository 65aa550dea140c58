// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "schedulers/scheduler.h"

namespace sluice {
namespace {

TEST(SchedulerRegistry, HasOneEntryForEachFile) {
  EXPECT_THAT(SchedulerNames(), testing::ElementsAre("dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf",
                                                     "rr", "sed", "sh", "twos", "wlc", "wrr"));
}

TEST(SchedulerRegistry, DoesNotKnowOtherNames) {
  EXPECT_EQ(FindScheduler("wl"), nullptr);
  EXPECT_EQ(FindScheduler(""), nullptr);
}

// A scheduler that lives outside the folder: registering is all it takes.
class LastInList final : public Scheduler {
 public:
  explicit LastInList(const SchedulerSetup&) {}
  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    return static_cast<int>(candidates.size()) - 1;
  }
};

TEST(SchedulerRegistry, TakesOneFromOutside) {
  const SchedulerFactory factory = MakeScheduler<LastInList>;
  const Candidate candidates[3] = {};
  EXPECT_EQ(factory({candidates, {}})->Pick(FlowKey{}, candidates), 2);
}

}  // namespace
}  // namespace sluice
