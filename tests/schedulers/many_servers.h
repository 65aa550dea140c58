// A service of many destinations whose loads and thresholds change as they may: some have ids that had been
// used before, some weigh nothing, and places in groups have gaps.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "schedulers/scheduler.h"

namespace sluice {

enum class WeightsLike { kFew, kAny, kOneOnly, kHeavyAndLight };

class ManyServers {
 public:
  ManyServers(int count, WeightsLike like, uint32_t seed) : random(seed) {
    std::vector<DestinationId> gone;
    for (int i = 0; i < count; ++i) {
      const DestinationId newest = candidates.empty() ? kNoDestination : candidates[0].id;
      const DestinationId id = destinations.Allocate(newest);
      const int weight = WeightOf(i, count, like);
      candidates.insert(candidates.begin(), {.address = IpAddress::FromV4(Be32::FromHost(random())),
                                             .port = Be16::FromHost(80),
                                             .weight = weight,
                                             .last_weight = weight == 0 && i % 2 == 0 ? 3 : weight,
                                             .ordinal = static_cast<uint32_t>(i + 1),
                                             .id = id});
      destinations.Attach(candidates[0]);
      if (random() % 8 == 0) {  // another comes and goes; its place may stay empty
        gone.push_back(destinations.Allocate(id));
        if (random() % 2 == 0) destinations.Free(gone.back());
      }
    }
  }

  void WatchAll() {
    for (const Candidate& candidate : candidates) destinations.Watch(candidate.id);
  }
  const Candidate& Any() { return candidates[random() % candidates.size()]; }

  // A connection comes, goes or changes; now and then a destination becomes full or empty.
  void Disturb() {
    const DestinationId id = Any().id;
    const DestinationLoad::Counts counts = destinations.load(id).Read();
    switch (random() % 6) {
      case 0:
      case 1: destinations.AddConnection(id, random() % 2 == 0); break;
      case 2:
        if (counts.active < counts.total) destinations.SetActive(id, true);
        break;
      case 3:
        if (counts.active > 0) destinations.SetActive(id, false);
        break;
      case 4:
        if (counts.total > counts.active) destinations.RemoveConnection(id, false);
        break;
      default: destinations.SetThresholds(id, random() % 4, 0); break;
    }
  }
  void Fill(DestinationId id) {
    if (destinations.load(id).Total() == 0) destinations.AddConnection(id, false);
    destinations.SetThresholds(id, 1, 1);
  }
  void FillAll() {
    for (const Candidate& candidate : candidates) Fill(candidate.id);
  }
  void Empty(DestinationId id) { destinations.SetThresholds(id, 0, 0); }
  // Nearly nobody, nearly everybody, or anybody is full from now on.
  void Shuffle() {
    const uint32_t share = random() % 3;
    for (const Candidate& candidate : candidates) {
      const bool full = share == 0 ? random() % 2 == 0 : (random() % 100 == 0) == (share == 1);
      if (full) {
        Fill(candidate.id);
      } else {
        Empty(candidate.id);
      }
    }
  }

  std::mt19937 random;
  DestinationTable destinations;
  std::vector<Candidate> candidates;  // in list order

 private:
  int WeightOf(int i, int count, WeightsLike like) {
    switch (like) {
      case WeightsLike::kFew: return static_cast<int>(random() % 5);
      case WeightsLike::kAny: return static_cast<int>(random() % 65536);
      case WeightsLike::kOneOnly: return i == count / 2 ? 7 : 0;
      case WeightsLike::kHeavyAndLight: return i % 3 == 0 ? 400 : 1;
    }
    return 0;
  }
};

}  // namespace sluice
