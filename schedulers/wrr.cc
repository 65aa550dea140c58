// wrr: weighted round-robin. A weight level sinks from the highest weight to 1 in steps of the weights'
// greatest common divisor; a walk along the list takes those that reach it.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>

#include "schedulers/accepting.h"
#include "schedulers/list_position.h"
#include "schedulers/scheduler.h"
#include "schedulers/spin_lock.h"

namespace sluice {
namespace {

// What survives a change of the service.
struct Memory {
  SpinLock lock;
  ListPosition last = kBeforeTheFirst;
  int level = 0;
};

class WeightedRoundRobin final : public Scheduler {
 public:
  // The kernel's level depends on whether destinations were there already or were added one by one.
  explicit WeightedRoundRobin(const SchedulerSetup& setup)
      : candidates_(setup.candidates), memory_(std::make_shared<Memory>()), accepting_(setup.candidates) {
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
    const ListPosition last = memory_->last;
    const int level = memory_->level;
    const int chosen = Walk(candidates);
    memory_->last = last;
    memory_->level = level;
    return chosen;
  }

  void Prefetch() const override { __builtin_prefetch(memory_.get(), 1); }

 private:
  // The kernel walks along the list, level after level, until it meets somebody; where the walk would end is
  // known without going.
  int Walk(std::span<const Candidate> candidates) {
    if (highest_ == 0) return kNoCandidate;
    const size_t behind = FirstBehind(memory_->last, candidates);
    int chosen = accepting_.First(behind, memory_->level);
    if (chosen == kNoCandidate) {
      const int32_t greatest = accepting_.GreatestWeight();
      if (greatest == 0) return FindNobody(behind, candidates);
      memory_->level = NextLevel(greatest);
      chosen = accepting_.First(0, memory_->level);
      if (chosen == kNoCandidate) return kNoCandidate;  // somebody has become overloaded meanwhile
    }
    memory_->last = {candidates[chosen].ordinal, static_cast<uint32_t>(chosen)};
    return chosen;
  }

  // The next level that somebody reaches when this one has been walked to the list's end; from below the
  // lowest one it is up to the highest again.
  int NextLevel(int32_t greatest) const {
    const int below = memory_->level > step_ ? memory_->level - step_ : highest_;
    return below <= greatest ? below : below - (below - greatest + step_ - 1) / step_ * step_;
  }

  // The kernel gives up when it has looked at all for any weight at all: having gone through the whole list
  // at the lowest level, where it leaves the highest one; or, if it began in mid-list at that level, having
  // come round to where it began.
  int FindNobody(size_t behind, std::span<const Candidate> candidates) {
    const bool from_head = memory_->last.ordinal == kBeforeTheFirst.ordinal;
    const bool began_at_lowest = memory_->level <= step_;
    const bool began_at_somebody = behind > 0 && candidates[behind - 1].ordinal == memory_->last.ordinal;
    memory_->level = highest_;
    if (began_at_lowest && !from_head && began_at_somebody) memory_->level = (highest_ - 1) % step_ + 1;
    return kNoCandidate;
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
    memory_->last = kBeforeTheFirst;
    if (memory_->level > highest_ || memory_->level == 0) {
      memory_->level = highest_;
    } else if (step_ > 1) {
      memory_->level = memory_->level / step_ * step_ + 1;
    }
  }

  const std::span<const Candidate> candidates_;  // the service's, which owns this scheduler
  std::shared_ptr<Memory> memory_;
  int divisor_ = 0;
  int greatest_ = 0;
  int step_ = 1;
  int highest_ = 0;
  const Accepting accepting_;
};

const SchedulerEntry kEntry("wrr", MakeScheduler<WeightedRoundRobin>);

}  // namespace
}  // namespace sluice
