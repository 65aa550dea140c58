// wrr: weighted round-robin. A weight level sinks from the highest weight to 1 in steps of the weights'
// greatest common divisor; a walk along the list takes those that reach it.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>
#include <numeric>

#include "schedulers/scheduler.h"
#include "schedulers/spin_lock.h"

namespace sluice {
namespace {

// What survives a change of the service. The last choice is remembered by its ordinal: list order is
// descending, so "after this one" keeps its meaning.
struct Memory {
  SpinLock lock;
  uint32_t last_ordinal = kBeforeTheFirst;
  int level = 0;

  static constexpr uint32_t kBeforeTheFirst = UINT32_MAX;
};

class WeightedRoundRobin final : public Scheduler {
 public:
  // The kernel's level depends on whether destinations were there already or were added one by one.
  explicit WeightedRoundRobin(const SchedulerSetup& setup)
      : candidates_(setup.candidates), memory_(std::make_shared<Memory>()) {
    const size_t added = candidates_.size() - setup.present_before;
    Measure(candidates_.subspan(added));
    if (setup.present_before > 0) AdjustLevel();
    AddFrom(added);
  }

  void Inherit(const Scheduler& previous) override {
    const auto& before = static_cast<const WeightedRoundRobin&>(previous);
    memory_ = before.memory_;
    if (SameDestinations(before.candidates_)) return;
    const std::lock_guard lock(memory_->lock);
    const uint32_t newest_before = before.candidates_.empty() ? 0 : before.candidates_.front().ordinal;
    const auto old = std::find_if(candidates_.begin(), candidates_.end(),
                                  [&](const Candidate& c) { return c.ordinal <= newest_before; });
    const auto added = static_cast<size_t>(old - candidates_.begin());
    if (added == 0) {
      Measure(candidates_);
      AdjustLevel();
    } else {
      AddFrom(added);
    }
  }

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    const std::lock_guard lock(memory_->lock);
    return Walk(candidates);
  }

  int Foresee(const FlowKey&, std::span<const Candidate> candidates) override {
    const std::lock_guard lock(memory_->lock);
    const uint32_t last_ordinal = memory_->last_ordinal;
    const int level = memory_->level;
    const int chosen = Walk(candidates);
    memory_->last_ordinal = last_ordinal;
    memory_->level = level;
    return chosen;
  }

  void Prefetch() const override { __builtin_prefetch(memory_.get(), 1); }

 private:
  int Walk(std::span<const Candidate> candidates) {
    if (highest_ == 0) return kNoCandidate;
    // None is found when all were looked at for any weight at all: either the walk went through the whole
    // list at the lowest level, or it began in mid-list at that level and came round to where it began.
    const uint32_t begun_after = memory_->last_ordinal;
    const bool from_head = begun_after == Memory::kBeforeTheFirst;
    bool lowest = false;
    bool came_round = false;
    for (size_t at = FirstAfter(begun_after, candidates);; at = 0) {
      for (; at < candidates.size(); ++at) {
        const Candidate& candidate = candidates[at];
        if (candidate.weight >= memory_->level && candidate.CanAccept()) {
          memory_->last_ordinal = candidate.ordinal;
          return static_cast<int>(at);
        }
        if (lowest && came_round && candidate.ordinal == begun_after) return kNoCandidate;
      }
      memory_->level -= step_;
      if (memory_->level <= 0) {
        memory_->level = highest_;
        if (lowest || from_head) return kNoCandidate;
        came_round = true;
      }
      lowest = memory_->level <= step_;
    }
  }

  bool SameDestinations(std::span<const Candidate> before) const {
    return std::equal(candidates_.begin(), candidates_.end(), before.begin(), before.end(),
                      [](const Candidate& a, const Candidate& b) {
                        return a.ordinal == b.ordinal && a.weight == b.weight;
                      });
  }

  // The newest `count` candidates, which are at the head of the list, come one after the other.
  void AddFrom(size_t count) {
    Measure(candidates_.subspan(count));
    for (size_t first = count; first-- > 0;) {
      Include(candidates_[first]);
      AdjustLevel();
    }
  }

  void Measure(std::span<const Candidate> candidates) {
    divisor_ = 0;
    greatest_ = 0;
    for (const Candidate& candidate : candidates) Include(candidate);
    Derive();
  }
  void Include(const Candidate& candidate) {
    divisor_ = std::gcd(divisor_, candidate.weight);
    greatest_ = std::max(greatest_, candidate.weight);
    Derive();
  }
  void Derive() {
    step_ = std::max(divisor_, 1);
    highest_ = greatest_ == 0 ? 0 : greatest_ - (step_ - 1);
  }

  // After every change the walk begins anew, at a level that exists.
  void AdjustLevel() {
    memory_->last_ordinal = Memory::kBeforeTheFirst;
    if (memory_->level > highest_ || memory_->level == 0) {
      memory_->level = highest_;
    } else if (step_ > 1) {
      memory_->level = memory_->level / step_ * step_ + 1;
    }
  }

  static size_t FirstAfter(uint32_t ordinal, std::span<const Candidate> candidates) {
    const auto found = std::partition_point(candidates.begin(), candidates.end(),
                                            [&](const Candidate& c) { return c.ordinal >= ordinal; });
    return static_cast<size_t>(found - candidates.begin());
  }

  const std::span<const Candidate> candidates_;  // the service's, which owns this scheduler
  std::shared_ptr<Memory> memory_;
  int divisor_ = 0;
  int greatest_ = 0;
  int step_ = 1;
  int highest_ = 0;
};

const SchedulerEntry kEntry("wrr", MakeScheduler<WeightedRoundRobin>);

}  // namespace
}  // namespace sluice
