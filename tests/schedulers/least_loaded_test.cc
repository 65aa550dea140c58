// The fast search for the least loaded of many, against the plain scan.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "schedulers/load.h"

namespace sluice {
namespace {

// Destinations of a service in list order, some of them with ids that had been used before, so that
// neighbours in the list are not neighbours in the table.
struct Many {
  explicit Many(int count, uint32_t seed) : random(seed) {
    std::vector<DestinationId> ids;
    for (int i = 0; i < count * 2; ++i) ids.push_back(destinations.Allocate(i == 0 ? 0 : ids.back()));
    for (size_t i = 0; i < ids.size(); i += 2) destinations.Free(ids[i]);
    for (int i = 0; i < count; ++i) {
      const DestinationId other = ids[static_cast<size_t>(i) * 2 + 1];
      const DestinationId id = i % 3 == 0 ? destinations.Allocate(other) : other;
      destinations.Watch(id);
      candidates.push_back(
          {.weight = static_cast<int>(random() % 5), .ordinal = static_cast<uint32_t>(count - i), .id = id});
      destinations.Attach(candidates.back());
    }
  }

  // What may happen to a load.
  void Disturb() {
    const DestinationId id = candidates[random() % candidates.size()].id;
    const DestinationLoad& load = destinations.load(id);
    switch (random() % 6) {
      case 0:
      case 1: destinations.AddConnection(id, random() % 2 == 0); break;
      case 2:
        if (load.Active() < load.Total()) destinations.SetActive(id, true);
        break;
      case 3:
        if (load.Active() > 0) destinations.SetActive(id, false);
        break;
      case 4:
        if (load.Total() > load.Active()) destinations.RemoveConnection(id, false);
        break;
      default: destinations.SetThresholds(id, random() % 4, 0); break;
    }
  }

  std::mt19937 random;
  DestinationTable destinations;
  std::vector<Candidate> candidates;
};

template <class Share>
void CompareWithTheScan() {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Many many(200, seed);
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

// Several workers pick and count at once; when they have stopped, the next pick is again the scan's.
TEST(LeastLoadedTest, FromSeveralWorkers) {
  Many many(300, 7);
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
