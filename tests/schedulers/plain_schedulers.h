// The schedulers as the kernel has them, candidate by candidate and level by level: what the fast ones are
// tested against. Those of one test go from pick to pick on candidates that do not change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "schedulers/hash.h"
#include "schedulers/load.h"
#include "schedulers/scheduler.h"

namespace sluice {

using CandidateSpan = std::span<const Candidate>;

class PlainRoundRobin {
 public:
  int Pick(const FlowKey&, CandidateSpan candidates) {
    for (size_t step = 0; step < candidates.size(); ++step) {
      const size_t at = (next_ + step) % candidates.size();
      if (!candidates[at].CanAccept()) continue;
      next_ = at + 1;
      return static_cast<int>(at);
    }
    return kNoCandidate;
  }

 private:
  size_t next_ = 0;
};

class PlainWeightedRoundRobin {
 public:
  int Pick(const FlowKey&, CandidateSpan candidates) {
    int divisor = 0;
    int greatest = 0;
    for (const Candidate& candidate : candidates) {
      divisor = std::gcd(divisor, candidate.weight);
      greatest = std::max(greatest, candidate.weight);
    }
    if (greatest == 0) return kNoCandidate;
    const int step = std::max(divisor, 1);
    const int highest = greatest - (step - 1);
    if (level_ == 0) level_ = highest;
    const int begun_behind = last_;
    bool lowest = false;
    bool came_round = false;
    for (int at = last_ + 1;; at = 0) {
      for (; at < static_cast<int>(candidates.size()); ++at) {
        const Candidate& candidate = candidates[static_cast<size_t>(at)];
        if (candidate.weight >= level_ && candidate.CanAccept()) return last_ = at;
        if (lowest && came_round && at == begun_behind) return kNoCandidate;
      }
      level_ -= step;
      if (level_ <= 0) {
        level_ = highest;
        if (lowest || begun_behind == kNoCandidate) return kNoCandidate;
        came_round = true;
      }
      lowest = level_ <= step;
    }
  }

 private:
  int last_ = kNoCandidate;
  // A service that has had its destinations before its scheduler begins at the highest level.
  int level_ = 0;
};

class PlainSourceHashing {
 public:
  explicit PlainSourceHashing(const SchedulerFlags& flags) : flags_(flags) {}

  int Pick(const FlowKey& flow, CandidateSpan candidates) {
    if (buckets_.empty()) Fill(candidates);
    const uint32_t port = flags_.flag_2 ? flow.source_port.ToHost() : 0;
    const uint32_t key = HashTo(FoldAddress(flow.source) + port, 8);
    if (candidates[buckets_[key]].CanAccept()) return static_cast<int>(buckets_[key]);
    for (uint32_t offset = 0; flags_.flag_1 && offset < 256; ++offset) {
      const size_t other = buckets_[(key + (offset + key) % 256) % 256];
      if (candidates[other].CanAccept()) return static_cast<int>(other);
    }
    return kNoCandidate;
  }

 private:
  void Fill(CandidateSpan candidates) {
    for (size_t at = 0; buckets_.size() < 256; at = (at + 1) % candidates.size()) {
      for (int turn = 0; turn < std::max(1, candidates[at].weight) && buckets_.size() < 256; ++turn)
        buckets_.push_back(at);
    }
  }

  const SchedulerFlags flags_;
  std::vector<size_t> buckets_;
};

// Fallback of mh, beside an mh without: who would have a client that the kernel sends elsewhere.
class PlainMaglevFallback {
 public:
  PlainMaglevFallback(Scheduler& without_fallback, CandidateSpan everybody_accepts)
      : without_fallback_(without_fallback), everybody_accepts_(everybody_accepts) {}

  // `tries`: how many hashes it took beyond the first.
  int Pick(const FlowKey& flow, CandidateSpan candidates, uint32_t& tries) {
    constexpr uint32_t kSlots = 4093;
    constexpr uint64_t kKey = 2654435761;
    tries = 0;
    const uint32_t client = FoldAddress(flow.source);
    const uint32_t slot = HalfSipHash(kKey, client) % kSlots;
    int chosen = OwnerOf(client);
    while (chosen != kNoCandidate && !candidates[static_cast<size_t>(chosen)].CanAccept()) {
      if (tries == kSlots) return kNoCandidate;
      chosen = OwnerOf((tries++ + slot) % kSlots + client);
    }
    return chosen;
  }

 private:
  // The number hashes to a slot as a client's address does.
  int OwnerOf(uint32_t number) {
    FlowKey flow;
    flow.source = IpAddress::FromV4(Be32::FromHost(number));
    return without_fallback_.Pick(flow, everybody_accepts_);
  }

  Scheduler& without_fallback_;
  const CandidateSpan everybody_accepts_;
};

class PlainFailover {
 public:
  int Pick(const FlowKey&, CandidateSpan candidates) {
    int best = kNoCandidate;
    int best_weight = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      if (!candidates[i].CanAccept() || candidates[i].weight <= best_weight) continue;
      best = i;
      best_weight = candidates[i].weight;
    }
    return best;
  }
};

class PlainOverflow {
 public:
  int Pick(const FlowKey&, CandidateSpan candidates) {
    int best = kNoCandidate;
    int best_weight = 0;
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      const Candidate& candidate = candidates[i];
      if (!candidate.CanAccept() || candidate.load->Active() > candidate.weight) continue;
      if (candidate.weight <= best_weight) continue;
      best = i;
      best_weight = candidate.weight;
    }
    return best;
  }
};

inline bool IsOvertaxedPlainly(const Candidate& candidate, CandidateSpan candidates) {
  if (candidate.load->Active() <= candidate.weight) return false;
  return std::any_of(candidates.begin(), candidates.end(),
                     [](const Candidate& other) { return int64_t{other.load->Active()} * 2 < other.weight; });
}

class PlainLblc {
 public:
  int Pick(const FlowKey& flow, CandidateSpan candidates) {
    const std::string address = flow.destination.ToString();
    if (const auto known = chosen_.find(address); known != chosen_.end()) {
      const Candidate& candidate = candidates[static_cast<size_t>(known->second)];
      if (candidate.weight > 0 && !IsOvertaxedPlainly(candidate, candidates)) return known->second;
    }
    const int chosen = FindLeastLoaded<WeightedOverhead>(candidates);
    if (chosen != kNoCandidate) chosen_[address] = chosen;
    return chosen;
  }

 private:
  std::map<std::string, int> chosen_;
};

class PlainLblcr {
 public:
  int Pick(const FlowKey& flow, CandidateSpan candidates) {
    std::vector<int>& set = sets_[flow.destination.ToString()];
    int least = kNoCandidate;
    for (const int member : set) {
      if (!candidates[member].CanAccept()) continue;
      if (least == kNoCandidate || Overhead(candidates[least]) * candidates[member].weight >
                                       Overhead(candidates[member]) * candidates[least].weight) {
        least = member;
      }
    }
    if (least != kNoCandidate && !IsOvertaxedPlainly(candidates[least], candidates)) return least;
    const int chosen = FindLeastLoaded<WeightedOverhead>(candidates);
    if (chosen == kNoCandidate) return kNoCandidate;
    if (std::find(set.begin(), set.end(), chosen) == set.end()) set.insert(set.begin(), chosen);
    most_ = std::max(most_, set.size());
    return chosen;
  }

  size_t largest_set() const { return most_; }

 private:
  std::map<std::string, std::vector<int>> sets_;
  size_t most_ = 0;
};

}  // namespace sluice
