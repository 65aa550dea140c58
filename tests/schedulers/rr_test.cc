// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

// The sequences were observed on kernel 6.1.
TEST(RoundRobin, GoesAroundTheListNewestFirst) {
  EXPECT_EQ(SchedulerRig("rr", {1, 1, 1, 1}).Picks(9), "4 3 2 1 4 3 2 1 4");
}

TEST(RoundRobin, SkipsWeightZero) { EXPECT_EQ(SchedulerRig("rr", {1, 0, 3}).Picks(6), "3 1 3 1 3 1"); }

TEST(RoundRobin, GoesOnAfterTheDeletedDestination) {
  SchedulerRig rig("rr", {1, 1, 1, 1});
  EXPECT_EQ(rig.Picks(2), "4 3");
  rig.Delete(3);
  EXPECT_EQ(rig.Picks(5), "2 1 4 2 1");
  EXPECT_EQ(rig.Add(1), 5);
  EXPECT_EQ(rig.Picks(6), "5 4 2 1 5 4");
}

TEST(RoundRobin, KeepsItsPlaceWhenWeightsChange) {
  SchedulerRig rig("rr", {1, 1, 1});
  EXPECT_EQ(rig.Picks(1), "3");
  rig.SetWeight(2, 0);
  EXPECT_EQ(rig.Picks(3), "1 3 1");
  rig.SetWeight(2, 1);
  EXPECT_EQ(rig.Picks(4), "3 2 1 3");
}

TEST(RoundRobin, SkipsOverloadedAndRefusesWhenNobodyAccepts) {
  SchedulerRig rig("rr", {1, 1});
  rig.SetOverloaded(1, true);
  EXPECT_EQ(rig.Picks(2), "2 2");
  rig.SetOverloaded(2, true);
  EXPECT_EQ(rig.Picks(1), "-");
  EXPECT_EQ(SchedulerRig("rr", {}).Picks(1), "-");
}

TEST(RoundRobin, IsExactWithSeveralWorkers) {
  constexpr int kEach = 30'000;
  SchedulerRig rig("rr", {1, 1, 1});
  std::vector<std::map<int, int>> picks(4);
  std::vector<std::thread> threads;
  for (auto& mine : picks) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) ++mine[rig.scheduler().Pick(FlowKey{}, rig.candidates())];
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int index = 0; index < 3; ++index) {
    int sum = 0;
    for (auto& mine : picks) sum += mine[index];
    EXPECT_EQ(sum, kEach * 4 / 3);
  }
}

// Workers go on with the old scheduler for a moment after the new one was made: nothing is picked twice.
TEST(RoundRobin, OldAndNewConfigurationShareTheCursor) {
  SchedulerRig rig("rr", {1, 1, 1});
  EXPECT_EQ(rig.Picks(1), "3");
  auto next = FindScheduler("rr")({rig.candidates(), {}});
  next->Inherit(rig.scheduler());
  EXPECT_EQ(next->Pick(FlowKey{}, rig.candidates()), 1);
  EXPECT_EQ(rig.scheduler().Pick(FlowKey{}, rig.candidates()), 2);
  EXPECT_EQ(next->Pick(FlowKey{}, rig.candidates()), 0);
}

}  // namespace
}  // namespace sluice
