// Candidates of a service that accept new connections: a word says it of up to 32 of them, so that a pick
// among thousands takes as long when nobody is left as when all are. Made with the scheduler, of candidates
// that never change; what it reads anew each time is who is overloaded.
// Threads: any number at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/scheduler.h"

namespace sluice {

class Accepting {
 public:
  // `counts[i]`: candidate i is one of those asked about; empty: all are. Those of weight 0 never accept.
  explicit Accepting(std::span<const Candidate> candidates, const std::vector<bool>& counts = {});

  // The first candidate from index `from` on that accepts and has at least that weight; kNoCandidate: none.
  int First(size_t from, int32_t least_weight = 1) const {
    if (!few_.empty()) return FirstOfFew(from, least_weight);
    size_t run = from < starts_.size() ? starts_[from].run : runs_.size();
    uint32_t mask = from < starts_.size() ? starts_[from].mask : 0;
    for (; run < runs_.size(); ++run, mask = ~uint32_t{0}) {
      const uint32_t found = mask & Heavy(runs_[run], least_weight) & ~Overloaded(runs_[run]);
      if (found != 0) return IndexOf(run, std::bit_width(found) - 1);
    }
    return kNoCandidate;
  }
  // Greatest weight of those that accept; 0: nobody does.
  int32_t GreatestWeight() const;
  int Count() const {
    int count = 0;
    for (const Run& run : runs_) count += std::popcount(run.members & ~Overloaded(run));
    return count;
  }
  // The n-th of those that accept, beginning at 0; kNoCandidate: there are not so many.
  int Nth(int n) const;

  // Weights of those that accept, as they are now, one run after another.
  static constexpr size_t kSumsKept = 128;
  struct Sums {
    int64_t total = 0;
    int64_t of_run[kSumsKept];
  };
  void SumUp(Sums& sums) const;
  // The candidate at which the weights, added up in list order, reach `rest`.
  int Reaching(int64_t rest, const Sums& sums) const;

 private:
  // Candidates that follow each other in the list and have falling bits in one group; without churn 32 of
  // them.
  struct Run {
    const LoadGroup* group;
    uint32_t members = 0;
    int32_t least = 0;  // weights of members
    int32_t greatest = 0;
    int64_t weight = 0;    // of all members
    uint32_t level = 0;    // its first of levels_
    uint32_t levels = 0;   // how many, by falling weight
    uint32_t indices = 0;  // its members' of indices_
  };
  // The members of a run that have at least this weight.
  struct Level {
    int32_t weight;
    uint32_t members;
  };
  // Where the search from a candidate on begins.
  struct Start {
    uint32_t run;
    uint32_t mask;
  };
  // Few candidates: their own lines are in the cache sooner than what is here.
  static constexpr size_t kFew = 8;
  using Weights = std::array<int32_t, LoadGroup::kSize>;  // by bit

  static uint32_t Overloaded(const Run& run) { return run.group->overloaded.load(std::memory_order_relaxed); }
  uint32_t Heavy(const Run& run, int32_t least_weight) const {
    if (least_weight <= run.least) return run.members;
    if (least_weight > run.greatest) return 0;
    const auto levels = std::span(levels_).subspan(run.level, run.levels);
    const auto lighter = std::partition_point(
        levels.begin(), levels.end(), [&](const Level& level) { return level.weight >= least_weight; });
    return (lighter - 1)->members;
  }
  int FirstOfFew(size_t from, int32_t least_weight) const {
    for (; from < few_.size(); ++from) {
      if (few_[from].weight >= least_weight && few_[from].CanAccept()) return static_cast<int>(from);
    }
    return kNoCandidate;
  }
  // Members with higher bits come first.
  int IndexOf(size_t run, int bit) const {
    const uint32_t before = runs_[run].members & ~uint32_t{1} << bit;
    return indices_[runs_[run].indices + static_cast<uint32_t>(std::popcount(before))];
  }
  int64_t WeightOf(size_t run) const;
  int64_t SumOf(size_t run, uint32_t members) const;
  void AddLevels(Run& run, const Weights& weights);

  const std::span<const Candidate> few_;  // empty: many, or not all of them
  std::vector<Run> runs_;
  std::vector<Start> starts_;     // by candidate
  std::vector<int> indices_;      // of candidates, members only
  std::vector<Weights> weights_;  // by run
  std::vector<Level> levels_;
};

}  // namespace sluice
