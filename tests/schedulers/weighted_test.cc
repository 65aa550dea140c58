// wrr, lc, sed, nq, fo, ovf, twos: the sequences a Linux 6.1 kernel was seen to choose.
#include <gtest/gtest.h>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

std::string Picks(const std::string& scheduler, const std::vector<int>& weights, int count) {
  return SchedulerRig(scheduler, weights).Picks(count);
}

TEST(WrrTest, Sequences) {
  EXPECT_EQ(Picks("wrr", {4, 3, 2}, 18), "3 2 1 1 2 1 3 2 1 3 2 1 1 2 1 3 2 1");
  EXPECT_EQ(Picks("wrr", {3, 1}, 8), "2 1 1 1 2 1 1 1");
  EXPECT_EQ(Picks("wrr", {1, 1, 1}, 6), "3 2 1 3 2 1");
  EXPECT_EQ(Picks("wrr", {2, 4, 8}, 14), "3 2 1 3 3 3 2 3 2 1 3 3 3 2");
  EXPECT_EQ(Picks("wrr", {6, 4}, 10), "2 1 1 2 1 2 1 1 2 1");
  EXPECT_EQ(Picks("wrr", {5, 0, 3}, 8), "3 1 1 1 3 1 3 1");
  EXPECT_EQ(Picks("wrr", {7, 5}, 12), "2 1 1 1 2 1 2 1 2 1 2 1");
  EXPECT_EQ(Picks("wrr", {1, 2, 3, 4}, 10), "4 3 2 1 4 4 3 4 3 2");
  EXPECT_EQ(Picks("wrr", {3, 3, 1}, 7), "3 2 1 2 1 2 1");
}

TEST(WrrTest, ChangesInBetween) {
  SchedulerRig rig("wrr", {4, 3, 2});
  EXPECT_EQ(rig.Picks(3), "3 2 1");
  rig.SetWeight(2, 6);
  EXPECT_EQ(rig.Picks(14), "3 2 1 2 2 1 3 2 1 2 2 1 3 2");
  rig.Delete(1);
  EXPECT_EQ(rig.Picks(9), "3 2 2 2 3 2 2 2 3");
  rig.Add(2);  // the seventh destination of the recorded run, the fourth here
  EXPECT_EQ(rig.Picks(10), "4 3 2 2 2 4 3 2 2 2");
}

TEST(WrrTest, NobodyToChoose) {
  EXPECT_EQ(Picks("wrr", {}, 2), "- -");
  EXPECT_EQ(Picks("wrr", {0, 0}, 2), "- -");
  SchedulerRig rig("wrr", {2, 3});
  EXPECT_EQ(rig.Picks(1), "2");
  rig.SetOverloaded(1, true);
  EXPECT_EQ(rig.Picks(3), "2 2 2");
  rig.SetOverloaded(2, true);
  EXPECT_EQ(rig.Picks(3), "- - -");
  rig.SetOverloaded(1, false);
  EXPECT_EQ(rig.Picks(2), "1 1");
}

TEST(WrrTest, AChangeOfSettingsAloneChangesNothing) {
  SchedulerRig rig("wrr", {4, 3, 2});
  EXPECT_EQ(rig.Picks(4), "3 2 1 1");
  rig.SetWeight(1, 4);
  EXPECT_EQ(rig.Picks(5), "2 1 3 2 1");
}

TEST(LcTest, Sequences) {
  EXPECT_EQ(Picks("lc", {1, 1, 1}, 10), "3 2 1 3 2 1 3 2 1 3");
  EXPECT_EQ(Picks("lc", {3, 2, 1}, 10), "3 2 1 3 2 1 3 2 1 3");
  EXPECT_EQ(Picks("lc", {1, 0, 2}, 4), "3 1 3 1");
}

TEST(LcTest, ActiveConnectionsCountOnceMore) {
  SchedulerRig rig("lc", {1, 1});
  rig.SetLoad(1, 1, 1);
  rig.SetLoad(2, 0, 256);
  EXPECT_EQ(rig.Picks(1), "2") << "257 is more than 256";
}

TEST(SedTest, Sequences) {
  EXPECT_EQ(Picks("sed", {3, 2, 1}, 10), "1 2 1 3 2 1 1 2 1 3");
  EXPECT_EQ(Picks("sed", {1, 0, 2}, 10), "3 3 1 3 3 1 3 3 1 3");
}

TEST(NqTest, Sequences) {
  EXPECT_EQ(Picks("nq", {3, 2, 1}, 10), "3 2 1 1 2 1 1 2 1 3");
  EXPECT_EQ(Picks("nq", {1, 0, 2}, 10), "3 1 3 3 3 1 3 3 1 3");
}

TEST(FoTest, Sequences) {
  EXPECT_EQ(Picks("fo", {1, 1, 1}, 3), "3 3 3");
  EXPECT_EQ(Picks("fo", {3, 2, 1}, 3), "1 1 1");
  SchedulerRig rig("fo", {3, 2, 1});
  rig.SetOverloaded(1, true);
  EXPECT_EQ(rig.Picks(2), "2 2");
}

TEST(OvfTest, Sequences) {
  EXPECT_EQ(Picks("ovf", {3, 2, 1}, 10), "1 1 1 1 2 2 2 3 3 -");
  EXPECT_EQ(Picks("ovf", {1, 1, 1}, 7), "3 3 2 2 1 1 -");
  EXPECT_EQ(Picks("ovf", {1, 0, 2}, 6), "3 3 3 1 1 -");
}

TEST(TwosTest, FollowsWeightAndLoad) {
  SchedulerRig rig("twos", {1, 0, 3});
  for (int i = 0; i < 4000; ++i) rig.PickOne({});
  EXPECT_EQ(rig.Load(2).Total(), 0);
  EXPECT_NEAR(rig.Load(1).Total(), 1000, 100) << "of two choices the better one keeps the loads level";
  EXPECT_EQ(Picks("twos", {0, 0}, 1), "-");
  EXPECT_EQ(Picks("twos", {}, 1), "-");
}

}  // namespace
}  // namespace sluice
