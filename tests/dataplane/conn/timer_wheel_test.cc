// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/timer_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice {
namespace {

std::vector<uint32_t> AllDue(TimerWheel& wheel, Jiffies now) {
  std::vector<uint32_t> all;
  uint32_t due[4];
  int count;
  do {
    count = wheel.TakeDue(now, due, 4);
    all.insert(all.end(), due, due + count);
  } while (count == 4);
  return all;
}

TEST(TimerWheel, GivesAnIndexAfterItsDeadlineAndNotBefore) {
  TimerWheel wheel(10, 1000);
  wheel.File(3, 1000 + 250);
  EXPECT_TRUE(AllDue(wheel, 1000 + 249).empty());
  EXPECT_EQ(AllDue(wheel, 1000 + 250 + 16), std::vector<uint32_t>{3});
  EXPECT_TRUE(AllDue(wheel, 1000 + 10000).empty());
}

TEST(TimerWheel, LooksEarlyAtWhatIsFarAway) {
  TimerWheel wheel(10, 0);
  const Jiffies month = JiffiesFromSeconds(2678400);
  const Jiffies look = wheel.File(1, month);
  EXPECT_LT(look, month);
  EXPECT_EQ(AllDue(wheel, look), std::vector<uint32_t>{1});
}

TEST(TimerWheel, UnfilesFromAnyPlaceInASlot) {
  for (uint32_t gone = 1; gone <= 3; ++gone) {
    TimerWheel wheel(10, 0);
    for (uint32_t index = 1; index <= 3; ++index) wheel.File(index, 100);
    wheel.Unfile(gone);
    const std::vector<uint32_t> due = AllDue(wheel, 200);
    EXPECT_EQ(due.size(), 2u);
    EXPECT_EQ(std::count(due.begin(), due.end(), gone), 0);
  }
}

TEST(TimerWheel, HandlesUnfilingWhatFollowsAPartlyTakenSlot) {
  TimerWheel wheel(10, 0);
  for (uint32_t index = 1; index <= 4; ++index) wheel.File(index, 100);
  uint32_t due[2];
  ASSERT_EQ(wheel.TakeDue(200, due, 2), 2);  // 4 and 3: the latest filed are first
  wheel.Unfile(2);
  EXPECT_EQ(AllDue(wheel, 200), std::vector<uint32_t>{1});
}

TEST(TimerWheel, AgreesWithAModelAcrossTheWrapOfTime) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint32_t kCapacity = 200;
  Jiffies now = UINT32_MAX - 100'000;
  TimerWheel wheel(kCapacity, now);
  std::map<uint32_t, Jiffies> filed;  // when it will be looked at
  for (int step = 0; step < 300'000; ++step) {
    const uint32_t index = 1 + random() % kCapacity;
    if (const auto known = filed.find(index); known != filed.end()) {
      if (random() % 4 == 0) {
        wheel.Unfile(index);
        filed.erase(known);
      }
    } else {
      const Jiffies deadline = now + random() % (random() % 10 == 0 ? 2'000'000 : 2000);
      filed[index] = wheel.File(index, deadline);
      ASSERT_TRUE(HasPassed(filed[index], now + 20 + 262'144)) << "looked at within one turn of the wheel";
    }
    now += random() % 8;
    for (const uint32_t due : AllDue(wheel, now)) {
      ASSERT_TRUE(filed.contains(due));
      ASSERT_TRUE(HasPassed(filed[due], now));
      filed.erase(due);
    }
    if (step % 1000 == 0) {
      for (const auto& [waiting, look] : filed) ASSERT_FALSE(HasPassed(look, now)) << "nothing is forgotten";
    }
  }
}

}  // namespace
}  // namespace sluice
