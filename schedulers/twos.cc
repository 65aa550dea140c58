// twos: the power of two random choices; of two destinations drawn by weight, the one with less overhead
// for its weight.
// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "schedulers/accepting.h"
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class TwoChoices final : public Scheduler {
 public:
  explicit TwoChoices(const SchedulerSetup& setup) : accepting_(setup.candidates) {}

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    Accepting::Sums weights;
    accepting_.SumUp(weights);
    if (weights.total == 0) return kNoCandidate;
    thread_local std::mt19937_64 random(std::random_device{}());
    // The kernel draws from 0..weights, both included.
    std::uniform_int_distribution<int64_t> draw(0, weights.total);
    const int first = accepting_.Reaching(draw(random), weights);
    const int second = accepting_.Reaching(draw(random), weights);
    if (first == kNoCandidate || second == kNoCandidate) return kNoCandidate;  // loads changed meanwhile
    const bool second_is_better = candidates[second].weight * Overhead(candidates[first]) >
                                  candidates[first].weight * Overhead(candidates[second]);
    return second_is_better ? second : first;
  }

 private:
  const Accepting accepting_;
};

const SchedulerEntry kEntry("twos", MakeScheduler<TwoChoices>);

}  // namespace
}  // namespace sluice
