// lblcr: locality-based least-connection with replication: a virtual address has a set of destinations, which
// grows while its least loaded one is overtaxed and shrinks when it has not changed for long.
// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <vector>

#include "schedulers/load.h"
#include "schedulers/locality_cache.h"
#include "schedulers/spin_lock.h"

namespace sluice {
namespace {

struct ServerSet {
  std::vector<RememberedDestination> members;  // the newest first
  SchedulerClock::time_point changed{};
};

struct Memory {
  SpinLock lock;
  LocalityCache<ServerSet> sets;
};

class LocalityBasedWithReplication final : public Scheduler {
 public:
  explicit LocalityBasedWithReplication(const SchedulerSetup& setup)
      : expiration_(setup.expiration_seconds),
        least_(setup.candidates),
        memory_(std::make_shared<Memory>()) {}

  void Inherit(const Scheduler& previous) override {
    memory_ = static_cast<const LocalityBasedWithReplication&>(previous).memory_;
  }

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const SchedulerClock::time_point now = SchedulerClock::now();
    const std::lock_guard lock(memory_->lock);
    memory_->sets.Tick(now, expiration_);
    ServerSet* set = memory_->sets.Find(flow.destination, now);
    if (set != nullptr) {
      const int least = LeastLoadedMember(*set, candidates);
      if (set->members.size() > 1 && now > set->changed + expiration_) {
        RemoveMostLoaded(*set, candidates);
        set->changed = now;
      }
      if (least != kNoCandidate && !IsOvertaxed(candidates[least], candidates)) return least;
    }
    const int chosen = least_.Find(candidates);
    if (chosen == kNoCandidate) return kNoCandidate;
    if (set == nullptr) set = memory_->sets.Add(flow.destination, now);
    if (set != nullptr) Include(*set, chosen, candidates, now);
    return chosen;
  }

  int Foresee(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const std::lock_guard lock(memory_->lock);
    if (const ServerSet* set = memory_->sets.Peek(flow.destination); set != nullptr) {
      const int least = LeastLoadedMember(*set, candidates);
      if (least != kNoCandidate && !IsOvertaxed(candidates[least], candidates)) return least;
    }
    return least_.Find(candidates);
  }

  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  static int LeastLoadedMember(const ServerSet& set, std::span<const Candidate> candidates) {
    int best = kNoCandidate;
    for (const RememberedDestination& each : set.members) {
      const int member = FindRemembered(each, candidates);
      if (member == kNoCandidate || !candidates[member].CanAccept()) continue;
      if (best == kNoCandidate || Overhead(candidates[best]) * candidates[member].weight >
                                      Overhead(candidates[member]) * candidates[best].weight) {
        best = member;
      }
    }
    return best;
  }

  static void RemoveMostLoaded(ServerSet& set, std::span<const Candidate> candidates) {
    int most = kNoCandidate;
    for (const RememberedDestination& each : set.members) {
      const int member = FindRemembered(each, candidates);
      if (member == kNoCandidate || candidates[member].weight <= 0) continue;
      if (most == kNoCandidate || Overhead(candidates[most]) * candidates[member].weight <
                                      Overhead(candidates[member]) * candidates[most].weight) {
        most = member;
      }
    }
    if (most == kNoCandidate) return;
    std::erase_if(set.members, [&](const RememberedDestination& each) {
      return FindRemembered(each, candidates) == most;
    });
  }

  static void Include(ServerSet& set, int chosen, std::span<const Candidate> candidates,
                      SchedulerClock::time_point now) {
    // Those that have gone would only make the set grow.
    std::erase_if(set.members, [&](const RememberedDestination& each) {
      return FindRemembered(each, candidates) == kNoCandidate;
    });
    for (const RememberedDestination& each : set.members) {
      if (FindRemembered(each, candidates) == chosen) return;
    }
    set.members.insert(set.members.begin(), {candidates[chosen].ordinal, candidates[chosen].id});
    set.changed = now;
  }

  const std::chrono::seconds expiration_;
  LeastLoaded<WeightedOverhead> least_;
  std::shared_ptr<Memory> memory_;
};

const SchedulerEntry kEntry("lblcr", MakeScheduler<LocalityBasedWithReplication>);

}  // namespace
}  // namespace sluice
