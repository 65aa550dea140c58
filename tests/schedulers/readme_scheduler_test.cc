// The scheduler of schedulers/README.md, built from there: registered by being linked, and it works.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

TEST(ReadmeSchedulerTest, IsKnownByItsName) {
  ASSERT_NE(FindScheduler("random"), nullptr);
  EXPECT_NE(FindScheduler("rr"), nullptr) << "beside the others";
}

TEST(ReadmeSchedulerTest, PicksAnyThatAccepts) {
  SchedulerRig rig("random", {1, 0, 1, 1});
  rig.SetOverloaded(4, true);
  std::map<int, int> picks;
  for (int i = 0; i < 1000; ++i) ++picks[rig.PickOne({})];
  EXPECT_EQ(picks.size(), 2u);
  EXPECT_GT(picks[1], 200);
  EXPECT_GT(picks[3], 200);
  EXPECT_EQ(SchedulerRig("random", {}).PickOne({}), 0);
}

}  // namespace
}  // namespace sluice
