// rr: round-robin; each new connection goes to the next destination in list order that can accept it.
// Weights matter only as zero or not.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <memory>

#include "schedulers/accepting.h"
#include "schedulers/list_position.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class RoundRobin final : public Scheduler {
 public:
  explicit RoundRobin(const SchedulerSetup& setup)
      : candidates_(setup.candidates),
        last_(std::make_shared<std::atomic<ListPosition>>(kBeforeTheFirst)),
        accepting_(setup.candidates) {}

  // If the last choice has gone, the walk goes on after the one before it; if that was the first, with
  // whoever is the first then.
  void Inherit(const Scheduler& previous) override {
    const auto& before = static_cast<const RoundRobin&>(previous);
    last_ = before.last_;
    const uint32_t newest_before = before.candidates_.empty() ? 0 : before.candidates_.front().ordinal;
    ListPosition last = last_->load(std::memory_order_relaxed);
    const bool keeps_its_place = std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
      return c.ordinal >= last.ordinal && c.ordinal <= newest_before;
    });
    if (!keeps_its_place) last_->compare_exchange_strong(last, kBeforeTheFirst, std::memory_order_relaxed);
  }

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    ListPosition last = last_->load(std::memory_order_relaxed);
    for (;;) {
      const int chosen = NextAfter(last, candidates);
      if (chosen == kNoCandidate) return kNoCandidate;
      const ListPosition next = {candidates[chosen].ordinal, static_cast<uint32_t>(chosen)};
      if (last_->compare_exchange_weak(last, next, std::memory_order_relaxed)) return chosen;
    }
  }

  void Prefetch() const override { __builtin_prefetch(last_.get(), 1); }

  int Foresee(const FlowKey&, std::span<const Candidate> candidates) override {
    return NextAfter(last_->load(std::memory_order_relaxed), candidates);
  }

 private:
  int NextAfter(ListPosition last, std::span<const Candidate> candidates) const {
    const int next = accepting_.First(FirstBehind(last, candidates));
    return next != kNoCandidate ? next : accepting_.First(0);
  }

  const std::span<const Candidate> candidates_;  // the service's, which owns this scheduler
  std::shared_ptr<std::atomic<ListPosition>> last_;
  const Accepting accepting_;
};

const SchedulerEntry kEntry("rr", MakeScheduler<RoundRobin>);

}  // namespace
}  // namespace sluice
