// dh: destination hashing; the destination follows from the virtual address alone. Weights only matter as
// zero or not.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "schedulers/hash.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

constexpr int kBits = 8;

class DestinationHashing final : public Scheduler {
 public:
  explicit DestinationHashing(const SchedulerSetup& setup) {
    for (size_t i = 0; i < buckets_.size(); ++i) {
      buckets_[i] = setup.candidates.empty() ? kNoCandidate : static_cast<int>(i % setup.candidates.size());
    }
  }

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    const int chosen = buckets_[HashTo(FoldAddress(flow.destination), kBits)];
    return chosen != kNoCandidate && candidates[chosen].CanAccept() ? chosen : kNoCandidate;
  }

 private:
  std::array<int, 1 << kBits> buckets_;
};

const SchedulerEntry kEntry("dh", MakeScheduler<DestinationHashing>);

}  // namespace
}  // namespace sluice
