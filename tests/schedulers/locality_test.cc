// lblc and lblcr: the sequences a Linux 6.1 kernel was seen to choose.
#include <gtest/gtest.h>

#include "schedulers/locality_cache.h"
#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

FlowKey To(const std::string& address) {
  FlowKey flow;
  flow.destination = *IpAddress::Parse(address);
  return flow;
}

TEST(LblcTest, MovesOnWhenOvertaxed) {
  SchedulerRig rig("lblc", {2, 2, 2});
  EXPECT_EQ(rig.Picks(16, To("198.18.0.1")), "3 3 3 2 2 2 1 1 1 1 1 1 1 1 1 1");
}

TEST(LblcTest, EveryAddressOnItsOwn) {
  SchedulerRig rig("lblc", {5, 5});
  EXPECT_EQ(rig.Picks(2, To("198.18.0.1")), "2 2");
  EXPECT_EQ(rig.Picks(2, To("198.18.0.2")), "1 1");
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "2");
}

TEST(LblcTest, ARememberedDestinationThatCannotServeIsReplaced) {
  SchedulerRig rig("lblc", {5, 5});
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "2");
  rig.SetOverloaded(2, true);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "2") << "a threshold does not count here";
  rig.SetWeight(2, 0);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "1");
  rig.SetWeight(2, 5);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "1");
  rig.Delete(1);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "-");
  rig.SetOverloaded(2, false);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "2");
}

TEST(LblcrTest, TheSetGrows) {
  SchedulerRig rig("lblcr", {2, 2, 2});
  EXPECT_EQ(rig.Picks(16, To("198.18.0.1")), "3 3 3 2 2 2 1 1 1 1 2 3 1 2 3 1");
}

TEST(LblcrTest, MembersThatCannotServeAreLeftOut) {
  SchedulerRig rig("lblcr", {2, 2});
  EXPECT_EQ(rig.Picks(4, To("198.18.0.1")), "2 2 2 1");
  rig.SetWeight(2, 0);
  EXPECT_EQ(rig.Picks(2, To("198.18.0.1")), "1 1");
  rig.Delete(1);
  EXPECT_EQ(rig.Picks(1, To("198.18.0.1")), "-");
}

TEST(LocalityCacheTest, WhatIsIdleIsDropped) {
  using std::chrono::seconds;
  LocalityCache<int> cache;
  SchedulerClock::time_point now{seconds(1000)};
  cache.Tick(now, seconds(86400));
  ASSERT_NE(cache.Add(*IpAddress::Parse("10.0.0.1"), now), nullptr);
  // Every thirtieth minute what was idle for a day goes.
  for (int minute = 0; minute < 24 * 60 - 1; ++minute) cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 1u);
  for (int minute = 0; minute < 32; ++minute) cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 0u);
}

TEST(LocalityCacheTest, TooManyAreNotRemembered) {
  using std::chrono::seconds;
  LocalityCache<int> cache;
  SchedulerClock::time_point now{seconds(1000)};
  cache.Tick(now, seconds(86400));
  const auto address = [](uint32_t i) { return IpAddress::FromV4(Be32::FromHost(i)); };
  for (uint32_t i = 0; i < 24576; ++i) ASSERT_NE(cache.Add(address(i), now), nullptr);
  EXPECT_EQ(cache.Add(address(99999), now), nullptr);
  cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 24576u) << "none is idle yet";
  for (int i = 0; i < 5; ++i) cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 24576u - 8192u) << "so many at once";
}

}  // namespace
}  // namespace sluice
