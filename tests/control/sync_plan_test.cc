// What the sync master does about the kernel's daemon, by what there is.
// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/sync_plan.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const KernelDaemon kOurDaemon{.is_backup = true, .interface = "sluice-sync0", .sync_id = 83};

TEST(SyncPlanTest, AtTheStart) {
  const SyncPlan plan = PlanSync(kOurDaemon, {});
  EXPECT_TRUE(plan.makes_interface && plan.opens_socket && plan.starts);
  EXPECT_TRUE(plan.stops.empty());
  EXPECT_EQ(plan.problem, "");
}

TEST(SyncPlanTest, AnEarlierSluicedsDaemonListens) {
  const SyncPlan plan = PlanSync(kOurDaemon, {.interface_index = 4, .daemons = {kOurDaemon}});
  EXPECT_TRUE(plan.opens_socket);
  EXPECT_FALSE(plan.starts);
  EXPECT_TRUE(plan.stops.empty());
}

TEST(SyncPlanTest, OneWithAnotherIdGivesWay) {
  const SyncPlan plan = PlanSync({.interface = "sluice-sync0", .sync_id = 7},
                                 {.interface_index = 4, .sends_over = 4, .daemons = {kOurDaemon}});
  EXPECT_TRUE(plan.starts);
  EXPECT_EQ(plan.stops.size(), 1u);
  EXPECT_FALSE(plan.opens_socket);
}

TEST(SyncPlanTest, NothingIsDoneWhileAllIsWell) {
  const SyncPlan plan =
      PlanSync(kOurDaemon, {.interface_index = 4, .sends_over = 4, .daemons = {kOurDaemon}});
  EXPECT_FALSE(plan.makes_interface || plan.opens_socket || plan.starts);
  EXPECT_TRUE(plan.stops.empty());
}

TEST(SyncPlanTest, SomebodyStoppedTheDaemon) {
  const SyncPlan plan = PlanSync(kOurDaemon, {.interface_index = 4, .sends_over = 4});
  EXPECT_TRUE(plan.starts);
  EXPECT_FALSE(plan.opens_socket);
}

TEST(SyncPlanTest, TheInterfaceWasDeletedOrReplacedOrDoesNotSend) {
  for (const SyncObserved& observed :
       {SyncObserved{.interface_index = 0, .sends_over = 4, .daemons = {kOurDaemon}},
        SyncObserved{.interface_index = 9, .sends_over = 4, .daemons = {kOurDaemon}},
        SyncObserved{.interface_index = 4, .sends_over = 4, .is_broken = true, .daemons = {kOurDaemon}}}) {
    const SyncPlan plan = PlanSync(kOurDaemon, observed);
    EXPECT_TRUE(plan.makes_interface && plan.opens_socket && plan.starts);
    EXPECT_EQ(plan.stops.size(), 1u) << "it listens to an interface that has gone";
  }
}

TEST(SyncPlanTest, SomebodyElsesDaemonIsLeftAlone) {
  const KernelDaemon theirs{.is_backup = true, .interface = "eth0", .sync_id = 1};
  const SyncPlan plan = PlanSync(kOurDaemon, {.interface_index = 4, .sends_over = 4, .daemons = {theirs}});
  EXPECT_NE(plan.problem.find("somebody else's (eth0, syncid 1)"), std::string::npos);
  EXPECT_TRUE(plan.stops.empty());
  const KernelDaemon master{.is_backup = false, .interface = "eth0", .sync_id = 1};
  EXPECT_EQ(PlanSync(kOurDaemon, {.daemons = {master}}).problem, "") << "a master beside ours is no matter";
}

}  // namespace
}  // namespace sluice
