// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

// The sequences were observed on kernel 6.1.
TEST(WeightedLeastConnection, FollowsTheKernel) {
  EXPECT_EQ(SchedulerRig("wlc", {3, 2, 1}).Picks(10), "3 2 1 1 2 1 3 2 1 1");
  EXPECT_EQ(SchedulerRig("wlc", {1, 0, 2}).Picks(10), "3 1 3 3 1 3 3 1 3 3");
  EXPECT_EQ(SchedulerRig("wlc", {1, 1, 1}).Picks(6), "3 2 1 3 2 1");
}

// 256 x active + total: with active 1, total 1 against active 0, total 256, older kernels would see a tie.
TEST(WeightedLeastConnection, CountsActiveConnectionsInTheTotalToo) {
  SchedulerRig rig("wlc", {1, 1});
  rig.SetLoad(1, 1, 1);
  rig.SetLoad(2, 0, 256);
  EXPECT_EQ(rig.Picks(1), "2");
  rig.SetLoad(2, 0, 258);
  EXPECT_EQ(rig.Picks(1), "1");
}

TEST(WeightedLeastConnection, DoesNotOverflowWithTheLargestWeights) {
  SchedulerRig rig("wlc", {INT32_MAX, INT32_MAX});
  rig.SetLoad(2, 4'000'000, 4'000'000);
  EXPECT_EQ(rig.Picks(1), "1");
}

TEST(WeightedLeastConnection, SkipsOverloadedAndRefusesWhenNobodyAccepts) {
  SchedulerRig rig("wlc", {1, 1});
  rig.SetOverloaded(2, true);
  EXPECT_EQ(rig.Picks(2), "1 1");
  rig.SetOverloaded(1, true);
  EXPECT_EQ(rig.Picks(1), "-");
  EXPECT_EQ(SchedulerRig("wlc", {0}).Picks(1), "-");
}

}  // namespace
}  // namespace sluice
