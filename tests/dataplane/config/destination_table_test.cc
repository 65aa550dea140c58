// Loads, thresholds and places of destinations, and what becomes of them when an id is used again.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/destination_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace sluice {
namespace {

Candidate CandidateOf(const DestinationTable& table, DestinationId id) {
  Candidate candidate{.id = id};
  table.Attach(candidate);
  return candidate;
}

// Active connections are never more than all, at no instant.
TEST(DestinationTableTest, ALoadIsSeenAsAPair) {
  DestinationTable table;
  const DestinationId id = table.Allocate();
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    for (int i = 0; i < 300'000; ++i) {
      table.AddConnection(id, true);
      table.RemoveConnection(id, true);
    }
    stop.store(true);
  });
  uint64_t torn = 0;
  while (!stop.load()) {
    const DestinationLoad::Counts counts = table.load(id).Read();
    torn += counts.active != counts.total;
  }
  worker.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(table.load(id).Total(), 0);
}

TEST(DestinationTableTest, AnIdThatIsUsedAgainIsAsNew) {
  DestinationTable table;
  const DestinationId id = table.Allocate();
  table.Watch(id);
  table.SetThresholds(id, 1, 0);
  table.AddConnection(id, false);
  ASSERT_TRUE(CandidateOf(table, id).group->IsOverloaded(CandidateOf(table, id).bit));
  ASSERT_EQ(CandidateOf(table, id).group->changes, 2u);
  table.RemoveConnection(id, false);
  table.SetThresholds(id, 2, 1);
  table.AddConnection(id, false);
  table.AddConnection(id, false);
  table.RemoveConnection(id, false);
  ASSERT_TRUE(CandidateOf(table, id).group->IsOverloaded(CandidateOf(table, id).bit))
      << "still, as of hysteresis";
  table.RemoveConnection(id, false);
  table.Free(id);

  ASSERT_EQ(table.Allocate(), id);
  const Candidate again = CandidateOf(table, id);
  EXPECT_TRUE(again.CanAccept());
  const uint32_t changes = again.group->changes;
  for (int i = 0; i < 5; ++i) table.AddConnection(id, true);
  EXPECT_EQ(again.group->changes, changes) << "nobody watches it any more";
  EXPECT_TRUE(again.CanAccept()) << "it has no thresholds";
}

// 1,000 destinations that come one after another are in 32 groups, in the order in which they came, whatever
// other services get in between; what is freed is used again.
TEST(DestinationTableTest, PlacesFollowTheOrderOfAdding) {
  DestinationTable table;
  for (int round = 0; round < 3; ++round) {
    std::vector<DestinationId> ids;
    std::vector<DestinationId> others;
    for (int i = 0; i < 1000; ++i) {
      ids.push_back(table.Allocate(ids.empty() ? kNoDestination : ids.back()));
      others.push_back(table.Allocate());
    }
    std::set<const LoadGroup*> groups;
    for (size_t i = 0; i < ids.size(); ++i) {
      const Candidate candidate = CandidateOf(table, ids[i]);
      groups.insert(candidate.group);
      ASSERT_EQ(candidate.bit, i % LoadGroup::kSize);
    }
    EXPECT_EQ(groups.size(), 32u);
    for (const DestinationId other : others) {
      EXPECT_FALSE(groups.contains(CandidateOf(table, other).group));
      groups.insert(CandidateOf(table, other).group);
    }
    EXPECT_EQ(groups.size(), 1032u) << "no two services share one";
    for (const DestinationId id : ids) table.Free(id);
    for (const DestinationId id : others) table.Free(id);
  }
}

TEST(DestinationTableTest, ThresholdsHoldWithSeveralWorkers) {
  DestinationTable table;
  const DestinationId id = table.Allocate();
  table.SetThresholds(id, 2, 0);
  const Candidate candidate = CandidateOf(table, id);
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 3; ++worker) {
    workers.emplace_back([&] {
      for (int i = 0; i < 100'000; ++i) {
        table.AddConnection(id, i % 2 == 0);
        table.RemoveConnection(id, i % 2 == 0);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  ASSERT_EQ(table.load(id).Total(), 0);
  EXPECT_FALSE(candidate.group->IsOverloaded(candidate.bit)) << "nobody is there";
}

}  // namespace
}  // namespace sluice
