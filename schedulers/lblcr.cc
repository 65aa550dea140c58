// lblcr: locality-based least-connection with replication: a virtual address has a set of destinations, which
// grows while its least loaded one is overtaxed and shrinks when it has not changed for long.
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>

#include "schedulers/candidate_ids.h"
#include "schedulers/load.h"
#include "schedulers/locality_cache.h"
#include "schedulers/overtaxed.h"
#include "schedulers/server_set.h"
#include "schedulers/spin_lock.h"

namespace sluice {
namespace {

struct Remembered {
  ServerSet set;
  SchedulerClock::time_point changed{};
};

struct Memory {
  explicit Memory(uint32_t addresses) : sets(addresses) {}

  SpinLock lock;
  LocalityCache<Remembered> sets;
};

class LocalityBasedWithReplication final : public Scheduler {
 public:
  explicit LocalityBasedWithReplication(const SchedulerSetup& setup)
      : expiration_(setup.expiration_seconds),
        ids_(setup.candidates),
        least_(setup.candidates),
        overtaxed_(setup.candidates),
        memory_(std::make_shared<Memory>(setup.virtual_addresses)) {}

  void Inherit(const Scheduler& previous) override {
    memory_ = static_cast<const LocalityBasedWithReplication&>(previous).memory_;
  }

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const SchedulerClock::time_point now = SchedulerClock::now();
    const std::lock_guard lock(memory_->lock);
    memory_->sets.Tick(now, expiration_);
    Remembered* remembered = memory_->sets.Find(flow.destination, now);
    if (remembered != nullptr) {
      const int least = LeastLoadedMember(remembered->set, candidates);
      if (remembered->set.CanShrink() && now > remembered->changed + expiration_) {
        RemoveMostLoaded(remembered->set, candidates);
        remembered->changed = now;
      }
      if (least != kNoCandidate && !overtaxed_.Is(candidates[least], candidates)) return least;
    }
    const int chosen = least_.Find(candidates);
    if (chosen == kNoCandidate) return kNoCandidate;
    if (remembered == nullptr) remembered = memory_->sets.Add(flow.destination, now);
    if (remembered != nullptr) Include(*remembered, candidates[chosen].id, now);
    return chosen;
  }

  int Foresee(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const std::lock_guard lock(memory_->lock);
    if (const Remembered* remembered = memory_->sets.Peek(flow.destination); remembered != nullptr) {
      const int least = LeastLoadedMember(remembered->set, candidates);
      if (least != kNoCandidate && !overtaxed_.Is(candidates[least], candidates)) return least;
    }
    return least_.Find(candidates);
  }

  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  int LeastLoadedMember(const ServerSet& set, std::span<const Candidate> candidates) const {
    if (set.is_everybody()) return kNoCandidate;  // nobody in particular
    int best = kNoCandidate;
    LoadShare least;
    for (const DestinationId each : set.members()) {
      const int member = ids_.Find(each);
      if (member == kNoCandidate || !candidates[member].CanAccept()) continue;
      const LoadShare share = WeightedOverhead::Of(*candidates[member].load, candidates[member].weight);
      if (best != kNoCandidate && !share.IsLessThan(least)) continue;
      best = member;
      least = share;
    }
    return best;
  }

  void RemoveMostLoaded(ServerSet& set, std::span<const Candidate> candidates) const {
    DestinationId most = kNoDestination;
    LoadShare greatest;
    for (const DestinationId each : set.members()) {
      const int member = ids_.Find(each);
      if (member == kNoCandidate || candidates[member].weight <= 0) continue;
      const LoadShare share = WeightedOverhead::Of(*candidates[member].load, candidates[member].weight);
      if (most != kNoDestination && !greatest.IsLessThan(share)) continue;
      most = each;
      greatest = share;
    }
    set.RemoveIf([&](DestinationId each) { return each == most; });
    set.LeaveToMembers();
  }

  void Include(Remembered& remembered, DestinationId chosen, SchedulerClock::time_point now) const {
    // Those that have gone would only make the set grow.
    remembered.set.RemoveIf([&](DestinationId each) { return ids_.Find(each) == kNoCandidate; });
    if (remembered.set.Add(chosen)) remembered.changed = now;
  }

  const std::chrono::seconds expiration_;
  const CandidateIds ids_;
  LeastLoaded<WeightedOverhead> least_;
  Overtaxed overtaxed_;
  std::shared_ptr<Memory> memory_;
};

const SchedulerEntry kEntry("lblcr", MakeScheduler<LocalityBasedWithReplication>);

}  // namespace
}  // namespace sluice
