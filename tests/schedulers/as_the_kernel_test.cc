// Every scheduler beside a plain one that looks at candidate after candidate, in states of every kind: they
// choose the same, pick after pick.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/schedulers/many_servers.h"
#include "tests/schedulers/plain_schedulers.h"

namespace sluice {
namespace {

constexpr WeightsLike kAllWeights[] = {WeightsLike::kFew, WeightsLike::kAny, WeightsLike::kOneOnly,
                                       WeightsLike::kHeavyAndLight};

FlowKey AnyFlow(std::mt19937& random, uint32_t addresses) {
  FlowKey flow;
  flow.source = IpAddress::FromV4(Be32::FromHost(random()));
  flow.source_port = Be16::FromHost(static_cast<uint16_t>(random()));
  flow.destination = IpAddress::FromV4(Be32::FromHost(0x0a630000 + random() % addresses));
  return flow;
}

std::unique_ptr<Scheduler> Make(ManyServers& many, const std::string& name,
                                const SchedulerFlags& flags = {}) {
  std::unique_ptr<Scheduler> scheduler = FindScheduler(name)(
      {.candidates = many.candidates, .flags = flags, .present_before = many.candidates.size()});
  if (scheduler->WatchesLoads()) many.WatchAll();
  return scheduler;
}

// The picks of both, with changes in between: of loads, of who is full, and towards nobody and one left.
template <class Plain>
void CompareOn(ManyServers& many, Scheduler& fast, Plain& plain, int picks) {
  for (int i = 0; i < picks; ++i) {
    if (i % 50 == 0) many.Shuffle();
    if (i % 50 == 20) many.FillAll();
    if (i % 50 == 30) many.Empty(many.Any().id);
    if (i % 50 > 40) many.Empty(many.Any().id);
    for (uint32_t changes = many.random() % 3; i % 50 < 20 && changes > 0; --changes) many.Disturb();
    const FlowKey flow = AnyFlow(many.random, 2);
    const int expected = plain.Pick(flow, many.candidates);
    ASSERT_EQ(fast.Pick(flow, many.candidates), expected) << "pick " << i;
    if (expected != kNoCandidate)
      many.destinations.AddConnection(many.candidates[static_cast<size_t>(expected)].id, true);
  }
}

template <class MakePlain>
void CompareAll(const std::string& name, const SchedulerFlags& flags, MakePlain make_plain) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const int count : {1, 2, 8, 10, 63, 64, 300, 2000}) {
    for (const WeightsLike like : kAllWeights) {
      ManyServers many(count, like, random());
      const std::unique_ptr<Scheduler> fast = Make(many, name, flags);
      auto plain = make_plain();
      SCOPED_TRACE(std::to_string(count) + " candidates, weights like " +
                   std::to_string(static_cast<int>(like)));
      ASSERT_NO_FATAL_FAILURE(CompareOn(many, *fast, plain, 250));
    }
  }
}

TEST(AsTheKernelTest, Rr) {
  CompareAll("rr", {}, [] { return PlainRoundRobin(); });
}

TEST(AsTheKernelTest, Sh) {
  for (const bool fallback : {false, true}) {
    for (const bool port : {false, true}) {
      const SchedulerFlags flags{.flag_1 = fallback, .flag_2 = port};
      CompareAll("sh", flags, [&] { return PlainSourceHashing(flags); });
    }
  }
}

TEST(AsTheKernelTest, Fo) {
  CompareAll("fo", {}, [] { return PlainFailover(); });
}

TEST(AsTheKernelTest, Ovf) {
  CompareAll("ovf", {}, [] { return PlainOverflow(); });
}

TEST(AsTheKernelTest, Lblc) {
  CompareAll("lblc", {}, [] { return PlainLblc(); });
}

// The kernel walks through every level: only few of them can be walked in a test.
TEST(AsTheKernelTest, Wrr) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const int count : {1, 2, 3, 8, 10, 64, 300}) {
    for (const int factor : {1, 3, 40}) {
      for (const WeightsLike like : {WeightsLike::kFew, WeightsLike::kOneOnly, WeightsLike::kHeavyAndLight}) {
        ManyServers many(count, like, random());
        for (Candidate& candidate : many.candidates) candidate.weight *= factor;
        const std::unique_ptr<Scheduler> fast = Make(many, "wrr");
        PlainWeightedRoundRobin plain;
        SCOPED_TRACE(std::to_string(count) + " candidates, factor " + std::to_string(factor));
        ASSERT_NO_FATAL_FAILURE(CompareOn(many, *fast, plain, 300));
      }
    }
  }
}

// As the others, as long as no set of the kernel's has more members than ours may have.
TEST(AsTheKernelTest, Lblcr) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const int count : {1, 2, 10, 32, 300}) {
    for (const WeightsLike like : kAllWeights) {
      ManyServers many(count, like, random());
      const std::unique_ptr<Scheduler> fast = Make(many, "lblcr");
      PlainLblcr plain;
      for (int i = 0; i < 20 && plain.largest_set() < 28; ++i)
        ASSERT_NO_FATAL_FAILURE(CompareOn(many, *fast, plain, 4)) << count << " candidates";
    }
  }
}

// With mh-fallback, of those who accept anybody with slots is found; by the kernel's hashes if that takes few
// of them.
TEST(AsTheKernelTest, MhFallback) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint32_t kProbes = 64;
  int beyond = 0;
  for (const int count : {1, 2, 10, 300, 1000}) {
    for (const WeightsLike like : kAllWeights) {
      ManyServers many(count, like, random());
      std::vector<Candidate> everybody = many.candidates;
      const LoadGroup empty;
      for (Candidate& candidate : everybody) {
        candidate.weight = 1;
        candidate.group = &empty;
      }
      const std::unique_ptr<Scheduler> without = Make(many, "mh");
      const std::unique_ptr<Scheduler> fast = Make(many, "mh", {.flag_1 = true});
      PlainMaglevFallback plain(*without, everybody);
      for (int i = 0; i < 200; ++i) {
        if (i % 20 == 0) many.Shuffle();
        if (i % 20 == 10) many.FillAll();
        if (i % 20 == 15) many.Empty(many.Any().id);
        const FlowKey flow = AnyFlow(random, 1);
        uint32_t tries = 0;
        const int expected = plain.Pick(flow, many.candidates, tries);
        const int chosen = fast->Pick(flow, many.candidates);
        if (tries <= kProbes) {
          ASSERT_EQ(chosen, expected) << "after " << tries;
          continue;
        }
        ++beyond;
        ASSERT_TRUE(expected == kNoCandidate || chosen != kNoCandidate);
        if (chosen != kNoCandidate) {
          ASSERT_TRUE(many.candidates[static_cast<size_t>(chosen)].CanAccept());
        }
        ASSERT_EQ(fast->Pick(flow, many.candidates), chosen) << "the client stays where it is";
      }
    }
  }
  EXPECT_GT(beyond, 0) << "such were to be among them";
}

// Beyond the kernel's hashes clients are spread over all that are left.
TEST(AsTheKernelTest, MhFallbackSpreadsClients) {
  ManyServers many(1000, WeightsLike::kAny, 1);
  for (Candidate& candidate : many.candidates) candidate.weight = candidate.last_weight = 1;
  many.FillAll();
  for (size_t i = 0; i < 4; ++i) many.Empty(many.candidates[i * 250].id);
  const std::unique_ptr<Scheduler> fast = Make(many, "mh", {.flag_1 = true});
  std::map<int, int> clients;
  for (int i = 0; i < 4000; ++i) ++clients[fast->Pick(AnyFlow(many.random, 1), many.candidates)];
  EXPECT_EQ(clients.size(), 4u);
  for (const auto& [chosen, count] : clients) {
    ASSERT_NE(chosen, kNoCandidate);
    ASSERT_TRUE(many.candidates[static_cast<size_t>(chosen)].CanAccept());
    EXPECT_GT(count, 700) << "of 4,000";
  }
}

}  // namespace
}  // namespace sluice
