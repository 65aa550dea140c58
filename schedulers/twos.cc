// twos: the power of two random choices; of two destinations drawn by weight, the one with less overhead
// for its weight.
// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class TwoChoices final : public Scheduler {
 public:
  explicit TwoChoices(const SchedulerSetup&) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    int64_t weights = 0;
    for (const Candidate& candidate : candidates) {
      if (candidate.CanAccept()) weights += candidate.weight;
    }
    if (weights == 0) return kNoCandidate;
    thread_local std::mt19937_64 random(std::random_device{}());
    // The kernel draws from 0..weights, both included.
    std::uniform_int_distribution<int64_t> draw(0, weights);
    int64_t first_rest = draw(random);
    int64_t second_rest = draw(random);
    int first = kNoCandidate;
    int second = kNoCandidate;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (!candidates[i].CanAccept()) continue;
      first_rest -= candidates[i].weight;
      second_rest -= candidates[i].weight;
      if (first == kNoCandidate && first_rest <= 0) first = i;
      if (second == kNoCandidate && second_rest <= 0) second = i;
      if (first != kNoCandidate && second != kNoCandidate) break;
    }
    if (first == kNoCandidate || second == kNoCandidate) return kNoCandidate;  // loads changed meanwhile
    const bool second_is_better = candidates[second].weight * Overhead(candidates[first]) >
                                  candidates[first].weight * Overhead(candidates[second]);
    return second_is_better ? second : first;
  }
};

const SchedulerEntry kEntry("twos", MakeScheduler<TwoChoices>);

}  // namespace
}  // namespace sluice
