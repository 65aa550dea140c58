// Words of those that accept, against a look at each.
// SPDX-License-Identifier: Apache-2.0
#include "schedulers/accepting.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/schedulers/many_servers.h"

namespace sluice {
namespace {

constexpr WeightsLike kWeightsLike[] = {WeightsLike::kFew, WeightsLike::kAny, WeightsLike::kOneOnly,
                                        WeightsLike::kHeavyAndLight};

void Compare(ManyServers& many, const Accepting& accepting, const std::vector<bool>& counts) {
  const auto accepts = [&](size_t i) {
    return many.candidates[i].CanAccept() && (counts.empty() || counts[i]);
  };
  std::vector<int> all;
  int32_t greatest = 0;
  int64_t total = 0;
  for (size_t i = 0; i < many.candidates.size(); ++i) {
    if (!accepts(i)) continue;
    all.push_back(static_cast<int>(i));
    greatest = std::max(greatest, many.candidates[i].weight);
    total += many.candidates[i].weight;
  }
  ASSERT_EQ(accepting.Count(), static_cast<int>(all.size()));
  ASSERT_EQ(accepting.GreatestWeight(), greatest);
  const int nth = static_cast<int>(many.random() % (all.size() + 1));
  ASSERT_EQ(accepting.Nth(nth),
            nth < static_cast<int>(all.size()) ? all[static_cast<size_t>(nth)] : kNoCandidate);
  Accepting::Sums sums;
  accepting.SumUp(sums);
  ASSERT_EQ(sums.total, total);
  const int64_t rest = std::uniform_int_distribution<int64_t>(0, total)(many.random);
  int64_t sum = 0;
  int reaching = kNoCandidate;
  for (const int i : all) {
    sum += many.candidates[static_cast<size_t>(i)].weight;
    if (reaching == kNoCandidate && sum >= rest) reaching = i;
  }
  ASSERT_EQ(accepting.Reaching(rest, sums), reaching) << rest << " of " << total;
  const size_t from = many.random() % (many.candidates.size() + 1);
  const int32_t least =
      many.random() % 2 == 0 ? 1 : many.Any().weight + static_cast<int32_t>(many.random() % 2);
  const auto first = std::find_if(all.begin(), all.end(), [&](int i) {
    return static_cast<size_t>(i) >= from && many.candidates[static_cast<size_t>(i)].weight >= least;
  });
  ASSERT_EQ(accepting.First(from, least), first == all.end() ? kNoCandidate : *first) << from << " " << least;
}

TEST(AcceptingTest, AsIfEachWereAsked) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const int count : {1, 2, 8, 9, 31, 33, 64, 300, 2000}) {
    for (const WeightsLike like : kWeightsLike) {
      ManyServers many(count, like, random());
      std::vector<bool> counts;
      if (random() % 2 == 0) {
        for (int i = 0; i < count; ++i) counts.push_back(random() % 2 == 0);
      }
      const Accepting accepting(many.candidates, counts);
      for (int round = 0; round < 30; ++round) {
        many.Shuffle();
        ASSERT_NO_FATAL_FAILURE(Compare(many, accepting, counts)) << count << " candidates";
      }
      many.FillAll();
      ASSERT_NO_FATAL_FAILURE(Compare(many, accepting, counts));
    }
  }
}

TEST(AcceptingTest, NobodyAtAll) {
  const Accepting accepting({});
  EXPECT_EQ(accepting.Count(), 0);
  EXPECT_EQ(accepting.First(0), kNoCandidate);
  EXPECT_EQ(accepting.GreatestWeight(), 0);
  EXPECT_EQ(accepting.Nth(0), kNoCandidate);
}

}  // namespace
}  // namespace sluice
