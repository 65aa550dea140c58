// SPDX-License-Identifier: Apache-2.0
#include "schedulers/accepting.h"

namespace sluice {

Accepting::Accepting(std::span<const Candidate> candidates, const std::vector<bool>& counts)
    : few_(candidates.size() <= kFew && counts.empty() ? candidates : std::span<const Candidate>()) {
  int last_bit = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    const bool goes_on = !runs_.empty() && runs_.back().group == candidate.group && candidate.bit < last_bit;
    if (!goes_on) {
      if (!runs_.empty()) AddLevels(runs_.back(), weights_.back());
      runs_.push_back({.group = candidate.group, .indices = static_cast<uint32_t>(indices_.size())});
      weights_.push_back({});
    }
    last_bit = candidate.bit;
    const uint32_t bit = uint32_t{1} << candidate.bit;
    starts_.push_back({static_cast<uint32_t>(runs_.size() - 1), bit | (bit - 1)});
    if (candidate.weight <= 0 || (!counts.empty() && !counts[i])) continue;
    runs_.back().members |= bit;
    runs_.back().weight += candidate.weight;
    weights_.back()[candidate.bit] = candidate.weight;
    indices_.push_back(static_cast<int>(i));
  }
  if (!runs_.empty()) AddLevels(runs_.back(), weights_.back());
}

void Accepting::AddLevels(Run& run, const Weights& weights) {
  run.level = static_cast<uint32_t>(levels_.size());
  std::vector<int32_t> distinct;
  for (const int32_t weight : weights) {
    if (weight > 0) distinct.push_back(weight);
  }
  std::sort(distinct.rbegin(), distinct.rend());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const int32_t least : distinct) {
    uint32_t members = 0;
    for (uint32_t bit = 0; bit < weights.size(); ++bit) members |= uint32_t{weights[bit] >= least} << bit;
    levels_.push_back({least, members});
  }
  run.levels = static_cast<uint32_t>(distinct.size());
  run.greatest = distinct.empty() ? 0 : distinct.front();
  run.least = distinct.empty() ? 0 : distinct.back();
}

int32_t Accepting::GreatestWeight() const {
  int32_t greatest = 0;
  for (const Candidate& each : few_) {
    if (each.weight > greatest && each.CanAccept()) greatest = each.weight;
  }
  if (!few_.empty()) return greatest;
  for (const Run& run : runs_) {
    if (run.greatest <= greatest) continue;
    const uint32_t accepting = run.members & ~Overloaded(run);
    if (accepting == 0) continue;
    // Each level has the members of those before it.
    const auto levels = std::span(levels_).subspan(run.level, run.levels);
    const auto found = std::partition_point(
        levels.begin(), levels.end(), [&](const Level& level) { return (level.members & accepting) == 0; });
    greatest = std::max(greatest, found->weight);
  }
  return greatest;
}

int Accepting::Nth(int n) const {
  for (size_t run = 0; run < runs_.size(); ++run) {
    uint32_t accepting = runs_[run].members & ~Overloaded(runs_[run]);
    const int count = std::popcount(accepting);
    if (n >= count) {
      n -= count;
      continue;
    }
    for (; n > 0; --n) accepting &= ~std::bit_floor(accepting);
    return IndexOf(run, std::bit_width(accepting) - 1);
  }
  return kNoCandidate;
}

void Accepting::SumUp(Sums& sums) const {
  sums.total = 0;
  for (size_t run = 0; run < runs_.size(); ++run) {
    const int64_t weight = WeightOf(run);
    if (run < kSumsKept) sums.of_run[run] = weight;
    sums.total += weight;
  }
}

int Accepting::Reaching(int64_t rest, const Sums& sums) const {
  for (size_t run = 0; run < runs_.size(); ++run) {
    const int64_t weight = run < kSumsKept ? sums.of_run[run] : WeightOf(run);
    if (weight == 0) continue;
    if (rest > weight) {
      rest -= weight;
      continue;
    }
    uint32_t accepting = runs_[run].members & ~Overloaded(runs_[run]);
    for (; accepting != 0; accepting &= ~std::bit_floor(accepting)) {
      const int bit = std::bit_width(accepting) - 1;
      rest -= weights_[run][static_cast<size_t>(bit)];
      if (rest <= 0) return IndexOf(run, bit);
    }
  }
  return kNoCandidate;
}

// The fewer are added, be it those that accept or those that do not.
int64_t Accepting::WeightOf(size_t run) const {
  const Run& each = runs_[run];
  const uint32_t accepting = each.members & ~Overloaded(each);
  if (accepting == each.members) return each.weight;
  if (each.least == each.greatest) return int64_t{each.least} * std::popcount(accepting);
  const uint32_t others = each.members & ~accepting;
  if (std::popcount(accepting) <= std::popcount(others)) return SumOf(run, accepting);
  return each.weight - SumOf(run, others);
}

int64_t Accepting::SumOf(size_t run, uint32_t members) const {
  int64_t sum = 0;
  for (; members != 0; members &= members - 1)
    sum += weights_[run][static_cast<size_t>(std::countr_zero(members))];
  return sum;
}

}  // namespace sluice
