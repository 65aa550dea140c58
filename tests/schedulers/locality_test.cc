// lblc and lblcr: the sequences a Linux 6.1 kernel was seen to choose.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

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

TEST(LblcrTest, ASetThatOutgrowsItsLimitIsEverybody) {
  constexpr int kServers = 40;
  SchedulerRig rig("lblcr", std::vector<int>(kServers, 4));
  // While some are idle, whoever has more than its weight is left for the next: the set grows to all it can
  // have, and then all share, as by wlc.
  for (int i = 0; i < kServers * 5; ++i) ASSERT_NE(rig.PickOne(To("198.18.0.1")), 0);
  for (int i = 0; i < kServers * 20; ++i) rig.PickOne(To("198.18.0.1"));
  int lowest = INT32_MAX;
  int highest = 0;
  for (int d = 1; d <= kServers; ++d) {
    lowest = std::min(lowest, rig.Load(d).Total());
    highest = std::max(highest, rig.Load(d).Total());
  }
  EXPECT_LE(highest - lowest, 1);
}

using std::chrono::seconds;

// A scan goes on a little with every pick.
template <class Entry>
void TickThrough(LocalityCache<Entry>& cache, SchedulerClock::time_point now) {
  for (uint32_t i = 0; i < LocalityCache<Entry>::kMostEntries; i += 16) cache.Tick(now, seconds(86400));
}

TEST(LocalityCacheTest, WhatIsIdleIsDropped) {
  LocalityCache<int> cache(SchedulerSetup::kAnyAddresses);
  SchedulerClock::time_point now{seconds(1000)};
  cache.Tick(now, seconds(86400));
  ASSERT_NE(cache.Add(*IpAddress::Parse("10.0.0.1"), now), nullptr);
  // Every thirtieth minute what was idle for a day goes.
  for (int minute = 0; minute < 24 * 60 - 1; ++minute) cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 1u);
  for (int minute = 0; minute < 32; ++minute) cache.Tick(now += seconds(60), seconds(86400));
  EXPECT_EQ(cache.size(), 0u);
}

// Once a scan was due nobody finds what it is to drop, wherever the scan is.
TEST(LocalityCacheTest, WhatIsToBeDroppedIsNotFound) {
  LocalityCache<int> cache(SchedulerSetup::kAnyAddresses);
  const auto address = [](uint32_t i) { return IpAddress::FromV4(Be32::FromHost(i)); };
  SchedulerClock::time_point now{seconds(1000)};
  cache.Tick(now, seconds(86400));
  for (uint32_t i = 0; i < 1000; ++i) ASSERT_NE(cache.Add(address(i), now), nullptr);
  cache.Tick(now += seconds(7 * 86400), seconds(86400));
  EXPECT_GT(cache.size(), 900u) << "a pick does not do all of it";
  EXPECT_EQ(cache.Peek(address(500)), nullptr);
  EXPECT_EQ(cache.Find(address(500), now), nullptr);
  ASSERT_NE(cache.Add(address(500), now), nullptr);
  TickThrough(cache, now);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_NE(cache.Find(address(500), now), nullptr);
}

TEST(LocalityCacheTest, TooManyAreNotRemembered) {
  LocalityCache<int> cache(SchedulerSetup::kAnyAddresses);
  SchedulerClock::time_point now{seconds(1000)};
  cache.Tick(now, seconds(86400));
  const auto address = [](uint32_t i) { return IpAddress::FromV4(Be32::FromHost(i)); };
  for (uint32_t i = 0; i < 24576; ++i) ASSERT_NE(cache.Add(address(i), now), nullptr);
  EXPECT_EQ(cache.Add(address(99999), now), nullptr);
  TickThrough(cache, now += seconds(60));
  EXPECT_EQ(cache.size(), 24576u) << "none is idle yet";
  for (int i = 0; i < 5; ++i) TickThrough(cache, now += seconds(60));
  EXPECT_EQ(cache.size(), 24576u - 8192u) << "so many at once";
  for (uint32_t i = 0; i < 8192; ++i) ASSERT_NE(cache.Add(address(100'000 + i), now), nullptr);
}

// A service of one address remembers that one.
TEST(LocalityCacheTest, ForOneAddress) {
  LocalityCache<int> cache(1);
  const SchedulerClock::time_point now{seconds(1000)};
  ASSERT_NE(cache.Add(*IpAddress::Parse("10.0.0.1"), now), nullptr);
  EXPECT_EQ(cache.Add(*IpAddress::Parse("10.0.0.2"), now), nullptr);
  EXPECT_NE(cache.Find(*IpAddress::Parse("10.0.0.1"), now), nullptr);
}

}  // namespace
}  // namespace sluice
