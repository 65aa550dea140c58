// mh: Maglev hashing; the destination follows from the client's address, with mh-port (flag-2) from its port,
// too, and few clients change destination when destinations come and go. With mh-fallback (flag-1) a client
// whose destination cannot accept gets another.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "schedulers/accepting.h"
#include "schedulers/hash.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

// As a kernel with CONFIG_IP_VS_MH_TAB_INDEX=12, the default.
constexpr uint32_t kSlots = 4093;
constexpr int kTurnBits = 6;
constexpr uint64_t kKey1 = 2654435761;
constexpr uint64_t kKey2 = 2654446892;

constexpr uint32_t kProbes = 64;

class MaglevHashing final : public Scheduler {
 public:
  explicit MaglevHashing(const SchedulerSetup& setup)
      : flags_(setup.flags),
        slots_(Populate(setup.candidates)),
        reachable_(setup.candidates, HaveSlots(setup.candidates.size(), slots_)) {}

  int Pick(const FlowKey& flow, std::span<const Candidate> candidates) override {
    if (slots_.empty()) return kNoCandidate;
    const uint32_t client = FoldAddress(flow.source) + (flags_.flag_2 ? flow.source_port.ToHost() : 0);
    const uint32_t slot = HalfSipHash(kKey1, client) % kSlots;
    if (candidates[slots_[slot]].CanAccept()) return slots_[slot];
    if (!flags_.flag_1) return kNoCandidate;
    return FallBack(slot, client, candidates);
  }

 private:
  // A candidate's own order of slots: where it begins, and how far apart they are.
  struct Order {
    uint32_t next;
    uint32_t skip;
    int turns;
  };

  // How many slots a candidate takes in a round. The weight before it was drained counts, so that draining
  // moves nobody else's clients.
  static std::vector<Order> Orders(std::span<const Candidate> candidates) {
    int divisor = 0;
    int greatest = 0;
    for (const Candidate& candidate : candidates) {
      divisor = std::gcd(divisor, candidate.last_weight);
      greatest = std::max(greatest, candidate.last_weight);
    }
    if (divisor == 0) return {};
    const int shift =
        std::max(0, static_cast<int>(std::bit_width(static_cast<uint32_t>(greatest / divisor))) - kTurnBits);
    std::vector<Order> orders;
    for (const Candidate& candidate : candidates) {
      const uint32_t name = FoldAddress(candidate.address) + candidate.port.ToHost();
      const int turns =
          candidate.last_weight == 0 ? 0 : std::max(1, candidate.last_weight / divisor >> shift);
      orders.push_back(
          {HalfSipHash(kKey1, name) % kSlots, HalfSipHash(kKey2, name) % (kSlots - 1) + 1, turns});
    }
    return orders;
  }

  static std::vector<int> Populate(std::span<const Candidate> candidates) {
    std::vector<Order> orders = Orders(candidates);
    if (orders.empty()) return {};
    std::vector<int> slots(kSlots, kNoCandidate);
    uint32_t filled = 0;
    while (true) {
      for (size_t i = 0; i < orders.size(); ++i) {
        Order& order = orders[i];
        for (int turn = 0; turn < order.turns; ++turn) {
          while (slots[order.next] != kNoCandidate) order.next = (order.next + order.skip) % kSlots;
          slots[order.next] = static_cast<int>(i);
          if (++filled == kSlots) return slots;
        }
      }
    }
  }

  static std::vector<bool> HaveSlots(size_t candidates, const std::vector<int>& slots) {
    std::vector<bool> have(candidates, false);
    for (const int candidate : slots) have[static_cast<size_t>(candidate)] = true;
    return have;
  }

  // The kernel tries up to 4,093 hashes, which takes as long as hundreds of other picks. Beyond kProbes of
  // them the choice is not the kernel's, but as much the client's own: see schedulers/README.md.
  int FallBack(uint32_t slot, uint32_t client, std::span<const Candidate> candidates) const {
    const int accepting = reachable_.Count();
    if (accepting == 0) return kNoCandidate;
    for (uint32_t offset = 0; offset < kProbes; ++offset) {
      const uint32_t again = HalfSipHash(kKey1, (offset + slot) % kSlots + client) % kSlots;
      if (candidates[slots_[again]].CanAccept()) return slots_[again];
    }
    return reachable_.Nth(static_cast<int>(HalfSipHash(kKey2, client) % static_cast<uint32_t>(accepting)));
  }

  const SchedulerFlags flags_;
  const std::vector<int> slots_;  // empty: no candidate has had a weight
  const Accepting reachable_;     // by a slot
};

const SchedulerEntry kEntry("mh", MakeScheduler<MaglevHashing>);

}  // namespace
}  // namespace sluice
