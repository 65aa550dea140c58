// How IPVS weighs the load of a destination, and the search for the least loaded one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "schedulers/scheduler.h"
#include "schedulers/spin_lock.h"

namespace sluice {

// The kernel's "overhead": an active connection counts 256 times as much as an inactive one, and all count
// once more (6.1.192 and 6.12; older kernels leave the active ones out of that).
inline int64_t Overhead(const DestinationLoad& load) {
  const DestinationLoad::Counts counts = load.Read();
  return int64_t{counts.active} * 256 + counts.total;
}
inline int64_t Overhead(const Candidate& candidate) { return Overhead(*candidate.load); }

// A load for a weight. They are compared as quotients, without a division.
struct LoadShare {
  int64_t load = 0;
  int64_t weight = 0;

  bool IsLessThan(const LoadShare& other) const { return load * other.weight < other.load * weight; }
};

// More than any other.
inline constexpr LoadShare kEndless = {1, 0};

// Candidates that may be chosen, unless a share says otherwise.
struct AnyShare {
  static constexpr bool kEvenOverloaded = false;
  static bool Serves(const DestinationLoad&, int32_t) { return true; }
};

// What lc, wlc (with lblc and lblcr), sed and nq compare.
struct PlainOverhead : AnyShare {
  static LoadShare Of(const DestinationLoad& load, int32_t) { return {Overhead(load), 1}; }
};
struct WeightedOverhead : AnyShare {
  static LoadShare Of(const DestinationLoad& load, int32_t weight) { return {Overhead(load), weight}; }
};
struct ExpectedDelay : AnyShare {  // with one more connection
  static LoadShare Of(const DestinationLoad& load, int32_t weight) {
    return {int64_t{load.Active()} + 1, weight};
  }
};
struct QueueFirst : AnyShare {  // the same, but nothing is less than an idle one
  static LoadShare Of(const DestinationLoad& load, int32_t weight) {
    const int64_t active = load.Active();
    return {active == 0 ? 0 : active + 1, weight};
  }
};

// The usable candidate with the least load, the first of equals.
template <class Share>
int FindLeastLoaded(std::span<const Candidate> candidates) {
  int best = kNoCandidate;
  LoadShare least;
  for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
    const Candidate& candidate = candidates[i];
    if (Share::kEvenOverloaded ? candidate.weight <= 0 : !candidate.CanAccept()) continue;
    if (!Share::Serves(*candidate.load, candidate.weight)) continue;
    const LoadShare share = Share::Of(*candidate.load, candidate.weight);
    if (best != kNoCandidate && !share.IsLessThan(least)) continue;
    best = i;
    least = share;
  }
  return best;
}

// Search among any number of candidates: of many, it keeps the winner of each group whose changes are
// counted together, and looks again only at groups that have changed.
// Threads: Find by any number of workers.
template <class Share>
class LeastLoaded {
 public:
  explicit LeastLoaded(std::span<const Candidate> candidates) : many_(candidates.size() >= kManyCandidates) {
    if (!many_) return;
    std::vector<std::pair<const LoadGroup*, int>> order;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) order.push_back({candidates[i].group, i});
    std::sort(order.begin(), order.end());
    for (const auto& [shared, index] : order) {
      const Candidate& candidate = candidates[index];
      if (candidate.weight <= 0) continue;
      if (groups_.empty() || groups_.back().shared != shared)
        groups_.push_back({.shared = shared, .first = static_cast<int>(members_.size())});
      members_.push_back({index, candidate.weight, candidate.bit, candidate.load});
      groups_.back().end = static_cast<int>(members_.size());
    }
  }

  // True: it relies on the changes of loads being counted.
  bool Watches() const { return many_; }

  int Find(std::span<const Candidate> candidates) {
    if (!many_) return FindLeastLoaded<Share>(candidates);
    const std::lock_guard lock(lock_);
    int best = kNoCandidate;
    LoadShare least;
    for (Group& group : groups_) {
      const uint32_t seen = group.shared->changes.load(std::memory_order_acquire);
      if (!group.known || seen != group.seen) Update(group, seen);
      if (group.best == kNoCandidate) continue;
      const bool wins = best == kNoCandidate || group.least.IsLessThan(least) ||
                        (!least.IsLessThan(group.least) && group.best < best);
      if (!wins) continue;
      best = group.best;
      least = group.least;
    }
    return best;
  }

 private:
  struct Group {
    const LoadGroup* shared;
    int first = 0;  // of members_
    int end = 0;
    bool known = false;
    uint32_t seen = 0;  // the count for which the winner is right
    int best = kNoCandidate;
    LoadShare least;
  };
  struct Member {
    int index;
    int32_t weight;
    uint8_t bit;
    const DestinationLoad* load;
  };

  // Members are in the order of candidates, so that the first of equals is the first here, too. Which of them
  // is less nobody can predict: hence no branches.
  void Update(Group& group, uint32_t seen) {
    const uint32_t overloaded =
        Share::kEvenOverloaded ? 0 : group.shared->overloaded.load(std::memory_order_relaxed);
    int best = kNoCandidate;
    LoadShare least = kEndless;
    for (int i = group.first; i < group.end; ++i) {
      const Member& member = members_[i];
      const LoadShare share = Share::Of(*member.load, member.weight);
      const bool is_overloaded = overloaded >> member.bit & 1;
      const bool serves = Share::Serves(*member.load, member.weight);
      const bool is_less = share.IsLessThan(least);
      const bool better = !is_overloaded && serves && is_less;
      best = better ? member.index : best;
      least.load = better ? share.load : least.load;
      least.weight = better ? share.weight : least.weight;
    }
    group.known = true;
    group.seen = seen;
    group.best = best;
    group.least = least;
  }

  const bool many_;
  SpinLock lock_;
  std::vector<Group> groups_;
  std::vector<Member> members_;
};

}  // namespace sluice
