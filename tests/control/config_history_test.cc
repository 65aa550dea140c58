// Who follows the configuration is told every change, or to begin anew.
#include "control/config_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;

v1::WatchConfigResponse Change(uint64_t generation, const std::string& told = "") {
  v1::WatchConfigResponse change;
  change.mutable_diff()->set_generation(generation);
  change.add_changed(told);
  return change;
}

std::vector<uint64_t> Generations(const ConfigHistory::News& news) {
  std::vector<uint64_t> generations;
  for (const ConfigHistory::Entry& entry : news.changes) generations.push_back(entry->diff().generation());
  return generations;
}

TEST(ConfigHistoryTest, TellsWhatCameAfter) {
  ConfigHistory history;
  for (uint64_t generation = 8; generation <= 11; ++generation) history.Add(Change(generation));
  EXPECT_THAT(Generations(history.After(9, Clock::now())), ElementsAre(10, 11));
  EXPECT_THAT(Generations(history.After(7, Clock::now())), ElementsAre(8, 9, 10, 11));
  EXPECT_TRUE(history.After(7, Clock::now()).known);
  EXPECT_THAT(Generations(history.After(11, Clock::now())), IsEmpty());
  EXPECT_TRUE(history.After(11, Clock::now()).known);
  EXPECT_FALSE(history.After(6, Clock::now()).known) << "before the first that it knows";
}

TEST(ConfigHistoryTest, IsBoundedInNumberAndSize) {
  ConfigHistory few(3, 1 << 20);
  for (uint64_t generation = 1; generation <= 5; ++generation) few.Add(Change(generation));
  EXPECT_FALSE(few.After(1, Clock::now()).known);
  EXPECT_THAT(Generations(few.After(2, Clock::now())), ElementsAre(3, 4, 5));
  ConfigHistory small(100, 1000);
  for (uint64_t generation = 1; generation <= 5; ++generation)
    small.Add(Change(generation, std::string(400, 'x')));
  EXPECT_FALSE(small.After(2, Clock::now()).known);
  EXPECT_THAT(Generations(small.After(3, Clock::now())), ElementsAre(4, 5));
}

TEST(ConfigHistoryTest, WakesWhoWaits) {
  ConfigHistory history;
  history.Add(Change(1));
  std::thread adder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    history.Add(Change(2));
  });
  EXPECT_THAT(Generations(history.After(1, Clock::now() + std::chrono::seconds(60))), ElementsAre(2));
  adder.join();
}

}  // namespace
}  // namespace sluice
