// sh: source hashing; the destination follows from the client's address, with sh-port (flag-2) from its port,
// too. With sh-fallback (flag-1) a client whose destination cannot accept gets another.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "schedulers/accepting.h"
#include "schedulers/hash.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

constexpr int kBits = 8;
constexpr uint32_t kBuckets = 1 << kBits;

class SourceHashing final : public Scheduler {
 public:
  explicit SourceHashing(const SchedulerSetup& setup) : flags_(setup.flags), accepting_(setup.candidates) {
    buckets_.fill(kNoCandidate);
    if (setup.candidates.empty()) return;
    // As many buckets in a row as the weight says, at least one, round after round.
    size_t candidate = 0;
    int taken = 0;
    for (int& bucket : buckets_) {
      bucket = static_cast<int>(candidate);
      if (++taken >= std::max(1, setup.candidates[candidate].weight)) {
        candidate = (candidate + 1) % setup.candidates.size();
        taken = 0;
      }
    }
  }

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const uint32_t port = flags_.flag_2 ? flow.source_port.ToHost() : 0;
    const uint32_t key = HashTo(FoldAddress(flow.source) + port, kBits);
    if (const int chosen = Usable(key, candidates); chosen != kNoCandidate || !flags_.flag_1) return chosen;
    if (accepting_.First(0) == kNoCandidate) return kNoCandidate;
    // The kernel begins at twice the bucket's number.
    for (uint32_t offset = 0; offset < kBuckets; ++offset) {
      const uint32_t bucket = (key + (offset + key) % kBuckets) % kBuckets;
      if (const int chosen = Usable(bucket, candidates); chosen != kNoCandidate) return chosen;
    }
    return kNoCandidate;
  }

 private:
  int Usable(uint32_t bucket, std::span<const Candidate> candidates) const {
    const int chosen = buckets_[bucket];
    return chosen != kNoCandidate && candidates[chosen].CanAccept() ? chosen : kNoCandidate;
  }

  const SchedulerFlags flags_;
  const Accepting accepting_;
  std::array<int, kBuckets> buckets_;
};

const SchedulerEntry kEntry("sh", MakeScheduler<SourceHashing>);

}  // namespace
}  // namespace sluice
