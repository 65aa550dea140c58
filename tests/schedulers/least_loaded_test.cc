// The fast search for the least loaded of many, against the plain scan.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "schedulers/load.h"
#include "schedulers/overtaxed.h"
#include "tests/schedulers/many_servers.h"

namespace sluice {
namespace {

template <class Share>
void CompareWithTheScan() {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  ManyServers many(200, WeightsLike::kFew, seed);
  many.WatchAll();
  LeastLoaded<Share> least(many.candidates);
  for (int i = 0; i < 100'000; ++i) {
    for (uint32_t changes = many.random() % 4; changes > 0; --changes) many.Disturb();
    ASSERT_EQ(least.Find(many.candidates), FindLeastLoaded<Share>(many.candidates)) << "pick " << i;
  }
}

TEST(LeastLoadedTest, PlainOverhead) { CompareWithTheScan<PlainOverhead>(); }
TEST(LeastLoadedTest, WeightedOverhead) { CompareWithTheScan<WeightedOverhead>(); }
TEST(LeastLoadedTest, ExpectedDelay) { CompareWithTheScan<ExpectedDelay>(); }
TEST(LeastLoadedTest, QueueFirst) { CompareWithTheScan<QueueFirst>(); }
TEST(LeastLoadedTest, TwiceActive) { CompareWithTheScan<TwiceActive>(); }

// Several workers pick and count at once; when they have stopped, the next pick is again the scan's.
TEST(LeastLoadedTest, FromSeveralWorkers) {
  ManyServers many(300, WeightsLike::kFew, 7);
  many.WatchAll();
  for (Candidate& candidate : many.candidates) candidate.weight = 1;
  LeastLoaded<WeightedOverhead> least(many.candidates);
  constexpr int kPicks = 30'000;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 3; ++worker) {
    workers.emplace_back([&] {
      for (int i = 0; i < kPicks; ++i) {
        const int chosen = least.Find(many.candidates);
        many.destinations.AddConnection(many.candidates[static_cast<size_t>(chosen)].id, false);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  int lowest = kPicks * 3;
  int highest = 0;
  for (const Candidate& candidate : many.candidates) {
    lowest = std::min(lowest, candidate.load->Total());
    highest = std::max(highest, candidate.load->Total());
  }
  EXPECT_LE(highest - lowest, 3) << "two workers may see the same load, no more";
  EXPECT_EQ(least.Find(many.candidates), FindLeastLoaded<WeightedOverhead>(many.candidates));
}

}  // namespace
}  // namespace sluice
