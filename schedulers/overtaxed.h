// When lblc and lblcr leave the destination that an address has: it has more active connections than its
// weight, while another has less than half as many as its own.
// Threads: any number at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "schedulers/load.h"

namespace sluice {

// Below one half: the kernel moves connections there. That it is overloaded does not matter here.
struct TwiceActive : AnyShare {
  static constexpr bool kEvenOverloaded = true;
  static LoadShare Of(const DestinationLoad& load, int32_t weight) {
    return {int64_t{load.Active()} * 2, weight};
  }
};

class Overtaxed {
 public:
  explicit Overtaxed(std::span<const Candidate> candidates) : idlest_(candidates) {}

  bool Is(const Candidate& candidate, std::span<const Candidate> candidates) {
    if (candidate.load->Active() <= candidate.weight) return false;
    const int idlest = idlest_.Find(candidates);
    if (idlest == kNoCandidate) return false;
    const LoadShare share = TwiceActive::Of(*candidates[idlest].load, candidates[idlest].weight);
    return share.load < share.weight;
  }

 private:
  LeastLoaded<TwiceActive> idlest_;
};

}  // namespace sluice
