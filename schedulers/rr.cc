// rr: round-robin; each new connection goes to the next destination in list order that can accept it.
// Weights matter only as zero or not.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "schedulers/scheduler.h"

namespace sluice {
namespace {

// The last choice: its ordinal, and its index as a hint where to find it. Ordinals only grow and new
// destinations come first in the list, so "the next after this one" keeps its meaning when destinations
// come and go, as the kernel's list pointer does.
struct alignas(8) Cursor {
  uint32_t ordinal;
  uint32_t index;
};
inline constexpr Cursor kBeforeTheFirst = {UINT32_MAX, 0};

class RoundRobin final : public Scheduler {
 public:
  explicit RoundRobin(const SchedulerSetup& setup)
      : candidates_(setup.candidates), cursor_(std::make_shared<std::atomic<Cursor>>(kBeforeTheFirst)) {}

  // If the last choice has gone, the walk goes on after the one before it; if that was the first, with
  // whoever is the first then.
  void Inherit(const Scheduler& previous) override {
    const auto& before = static_cast<const RoundRobin&>(previous);
    cursor_ = before.cursor_;
    const uint32_t newest_before = before.candidates_.empty() ? 0 : before.candidates_.front().ordinal;
    Cursor last = cursor_->load(std::memory_order_relaxed);
    const bool keeps_its_place = std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
      return c.ordinal >= last.ordinal && c.ordinal <= newest_before;
    });
    if (!keeps_its_place) cursor_->compare_exchange_strong(last, kBeforeTheFirst, std::memory_order_relaxed);
  }

  int Pick(const FlowKey&, std::span<const Candidate> candidates) override {
    Cursor last = cursor_->load(std::memory_order_relaxed);
    for (;;) {
      const int chosen = NextAfter(last, candidates);
      if (chosen == kNoCandidate) return kNoCandidate;
      const Cursor next = {candidates[chosen].ordinal, static_cast<uint32_t>(chosen)};
      if (cursor_->compare_exchange_weak(last, next, std::memory_order_relaxed)) return chosen;
    }
  }

  void Prefetch() const override { __builtin_prefetch(cursor_.get(), 1); }

  int Foresee(const FlowKey&, std::span<const Candidate> candidates) override {
    return NextAfter(cursor_->load(std::memory_order_relaxed), candidates);
  }

 private:
  static int NextAfter(Cursor last, std::span<const Candidate> candidates) {
    const size_t count = candidates.size();
    size_t at = FirstBelow(last, candidates);
    for (size_t step = 0; step < count; ++step, ++at) {
      if (at >= count) at = 0;
      if (candidates[at].CanAccept()) return static_cast<int>(at);
    }
    return kNoCandidate;
  }

  // List order is descending by ordinal.
  static size_t FirstBelow(Cursor last, std::span<const Candidate> candidates) {
    if (last.index < candidates.size() && candidates[last.index].ordinal == last.ordinal)
      return last.index + 1;
    const auto found = std::partition_point(candidates.begin(), candidates.end(),
                                            [&](const Candidate& c) { return c.ordinal >= last.ordinal; });
    return found - candidates.begin();
  }

  const std::span<const Candidate> candidates_;  // the service's, which owns this scheduler
  std::shared_ptr<std::atomic<Cursor>> cursor_;
};

const SchedulerEntry kEntry("rr", MakeScheduler<RoundRobin>);

}  // namespace
}  // namespace sluice
