// No pick among 1,000 servers takes long, whatever their state: counted in instructions, of which a processor
// does some thousands in a microsecond. bench/pick_bench.cc measures time.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "tests/schedulers/many_servers.h"
#include "tests/support/instructions.h"

namespace sluice {
namespace {

constexpr int kServers = 1000;
constexpr int kMicrosecond = 7500;

class PickCostTest : public testing::Test {
 protected:
  void SetUp() override {
#ifndef NDEBUG
    GTEST_SKIP() << "of a build that is not optimised it says nothing";
#endif
    if (!CanCountInstructions()) GTEST_SKIP() << "a sanitizer's own instructions would count";
  }

  template <class Prepare>
  void ExpectCheap(WeightsLike like, Prepare prepare) {
    for (const std::string_view name : SchedulerNames()) {
      ExpectCheap(std::string(name), {}, like, prepare);
      if (name == "sh" || name == "mh") ExpectCheap(std::string(name), {.flag_1 = true}, like, prepare);
    }
  }

 private:
  template <class Prepare>
  void ExpectCheap(const std::string& name, const SchedulerFlags& flags, WeightsLike like, Prepare prepare) {
    ManyServers many(kServers, like, 1);
    const std::unique_ptr<Scheduler> scheduler =
        FindScheduler(name)({.candidates = many.candidates, .flags = flags, .present_before = kServers});
    if (scheduler->WatchesLoads()) many.WatchAll();
    prepare(many);
    // The first sees every load for the first time.
    for (int i = 0; i < 4; ++i) {
      const FlowKey flow{.source = IpAddress::FromV4(Be32::FromHost(many.random())),
                         .destination = IpAddress::FromV4(Be32::FromHost(0x0a630001))};
      int chosen = kNoCandidate;
      const auto pick = [&] { chosen = scheduler->Pick(flow, many.candidates); };
      if (i == 0) {
        pick();
      } else {
        EXPECT_LT(InstructionsOf(pick).all, kMicrosecond) << name << (flags.flag_1 ? " with fallback" : "");
      }
      if (chosen != kNoCandidate)
        many.destinations.AddConnection(many.candidates[static_cast<size_t>(chosen)].id, true);
    }
  }
};

TEST_F(PickCostTest, AllAreFull) {
  ExpectCheap(WeightsLike::kAny, [](ManyServers& many) { many.FillAll(); });
}

TEST_F(PickCostTest, AllWeightsAreZeroButOne) {
  ExpectCheap(WeightsLike::kOneOnly, [](ManyServers&) {});
}

TEST_F(PickCostTest, OneIsLeft) {
  ExpectCheap(WeightsLike::kAny, [](ManyServers& many) {
    many.FillAll();
    many.Empty(many.candidates.back().id);
  });
}

TEST_F(PickCostTest, HalfAreFull) {
  ExpectCheap(WeightsLike::kAny, [](ManyServers& many) {
    for (size_t i = 0; i < many.candidates.size(); i += 2) many.Fill(many.candidates[i].id);
  });
}

// wrr would go down 65,534 levels, all servers in each, to the light one.
TEST_F(PickCostTest, TheHeavyAreFullAndALightOneIsLeft) {
  ExpectCheap(WeightsLike::kAny, [](ManyServers& many) {
    many.FillAll();
    const auto lightest = std::min_element(
        many.candidates.begin(), many.candidates.end(),
        [](const Candidate& a, const Candidate& b) { return std::max(a.weight, 1) < std::max(b.weight, 1); });
    many.Empty(lightest->id);
  });
}

}  // namespace
}  // namespace sluice
