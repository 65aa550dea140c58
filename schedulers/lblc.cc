// lblc: locality-based least-connection, for caches: a virtual address stays with one destination until
// that is overtaxed; then wlc chooses anew.
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>

#include "schedulers/candidate_ids.h"
#include "schedulers/load.h"
#include "schedulers/locality_cache.h"
#include "schedulers/overtaxed.h"
#include "schedulers/spin_lock.h"

namespace sluice {
namespace {

struct Memory {
  explicit Memory(uint32_t addresses) : destinations(addresses) {}

  SpinLock lock;
  LocalityCache<DestinationId> destinations;
};

class LocalityBasedLeastConnection final : public Scheduler {
 public:
  explicit LocalityBasedLeastConnection(const SchedulerSetup& setup)
      : expiration_(setup.expiration_seconds),
        ids_(setup.candidates),
        least_(setup.candidates),
        overtaxed_(setup.candidates),
        memory_(std::make_shared<Memory>(setup.virtual_addresses)) {}

  void Inherit(const Scheduler& previous) override {
    memory_ = static_cast<const LocalityBasedLeastConnection&>(previous).memory_;
  }

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const SchedulerClock::time_point now = SchedulerClock::now();
    const std::lock_guard lock(memory_->lock);
    LocalityCache<DestinationId>& cache = memory_->destinations;
    cache.Tick(now, expiration_);
    DestinationId* remembered = cache.Find(flow.destination, now);
    const int kept = remembered == nullptr ? kNoCandidate : KeptBy(*remembered, candidates);
    if (kept != kNoCandidate) return kept;
    const int chosen = least_.Find(candidates);
    if (chosen == kNoCandidate) return kNoCandidate;
    if (remembered == nullptr) remembered = cache.Add(flow.destination, now);
    if (remembered != nullptr) *remembered = candidates[chosen].id;
    return chosen;
  }

  int Foresee(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const std::lock_guard lock(memory_->lock);
    const DestinationId* remembered = memory_->destinations.Peek(flow.destination);
    const int kept = remembered == nullptr ? kNoCandidate : KeptBy(*remembered, candidates);
    return kept == kNoCandidate ? least_.Find(candidates) : kept;
  }

  bool WatchesLoads() const override { return least_.Watches(); }

 private:
  // As in the kernel, one that has reached its threshold keeps what it has.
  int KeptBy(DestinationId remembered, std::span<const Candidate> candidates) {
    const int known = ids_.Find(remembered);
    const bool keeps = known != kNoCandidate && candidates[known].weight > 0 &&
                       !overtaxed_.Is(candidates[known], candidates);
    return keeps ? known : kNoCandidate;
  }

  const std::chrono::seconds expiration_;
  const CandidateIds ids_;
  LeastLoaded<WeightedOverhead> least_;
  Overtaxed overtaxed_;
  std::shared_ptr<Memory> memory_;
};

const SchedulerEntry kEntry("lblc", MakeScheduler<LocalityBasedLeastConnection>);

}  // namespace
}  // namespace sluice
