// How long a pick takes, of every scheduler, in the states in which servers may be: a table for each number
// of them. Every pick is timed by itself; what is shown is the mean of the middle half, less what the timing
// costs.
// SPDX-License-Identifier: Apache-2.0
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

class Service {
 public:
  Service(std::string_view scheduler, const SchedulerFlags& flags, int servers,
          const std::function<int(int)>& weight_of) {
    for (int i = 0; i < servers; ++i) {
      const DestinationId newest = candidates_.empty() ? kNoDestination : candidates_[0].id;
      const int weight = weight_of(i);
      candidates_.insert(candidates_.begin(), {.address = IpAddress::FromV4(Be32::FromHost(0x0a010000 + i)),
                                               .port = Be16::FromHost(80),
                                               .weight = weight,
                                               .last_weight = weight == 0 ? 1 : weight,
                                               .ordinal = static_cast<uint32_t>(i + 1),
                                               .id = destinations_.Allocate(newest)});
      destinations_.Attach(candidates_[0]);
      for (int connection = 0; connection < 20; ++connection)
        destinations_.AddConnection(candidates_[0].id, true);
    }
    scheduler_ = FindScheduler(scheduler)({.candidates = candidates_, .flags = flags});
    if (!scheduler_->WatchesLoads()) return;
    for (const Candidate& candidate : candidates_) destinations_.Watch(candidate.id);
  }

  void FillUp(int index) { destinations_.SetThresholds(candidates_[static_cast<size_t>(index)].id, 1, 0); }
  int size() const { return static_cast<int>(candidates_.size()); }
  int weight(int index) const { return candidates_[static_cast<size_t>(index)].weight; }

  // In processor ticks. The new connection stays.
  uint64_t Pick() {
    flow_.source = IpAddress::FromV4(Be32::FromHost(Random()));
    _mm_lfence();
    const uint64_t begin = __rdtsc();
    _mm_lfence();
    const int chosen = scheduler_->Pick(flow_, candidates_);
    _mm_lfence();
    const uint64_t end = __rdtsc();
    if (chosen != kNoCandidate)
      destinations_.AddConnection(candidates_[static_cast<size_t>(chosen)].id, true);
    return end - begin;
  }
  // A connection somewhere closes, and one expires.
  void Proceed() {
    const DestinationId closes = candidates_[Random() % candidates_.size()].id;
    if (destinations_.load(closes).Active() > 1) destinations_.SetActive(closes, false);
    const DestinationId expires = candidates_[Random() % candidates_.size()].id;
    const DestinationLoad::Counts counts = destinations_.load(expires).Read();
    if (counts.total > counts.active) destinations_.RemoveConnection(expires, false);
  }
  // One connection of each server becomes inactive or active again: nothing that was remembered of loads
  // holds.
  void Stir() {
    stirred_ = !stirred_;
    for (const Candidate& candidate : candidates_) destinations_.SetActive(candidate.id, stirred_);
  }

 private:
  uint32_t Random() { return (random_ = random_ * 1664525 + 1013904223) >> 4; }

  DestinationTable destinations_;
  std::vector<Candidate> candidates_;
  std::unique_ptr<Scheduler> scheduler_;
  FlowKey flow_;
  uint32_t random_ = 1;
  bool stirred_ = true;
};

struct Contender {
  const char* shown;
  const char* scheduler;
  SchedulerFlags flags = {};
};
constexpr Contender kContenders[] = {
    {"rr", "rr"},
    {"wrr", "wrr"},
    {"lc", "lc"},
    {"wlc", "wlc"},
    {"sed", "sed"},
    {"nq", "nq"},
    {"lblc", "lblc"},
    {"lblcr", "lblcr"},
    {"dh", "dh"},
    {"sh", "sh"},
    {"sh-fallback", "sh", {.flag_1 = true}},
    {"mh", "mh"},
    {"mh-fallback", "mh", {.flag_1 = true}},
    {"fo", "fo"},
    {"ovf", "ovf"},
    {"twos", "twos"},
};

struct State {
  const char* name;
  std::function<int(int)> weight_of;
  std::function<void(Service&)> prepare;
  std::function<void(Service&)> between;  // two picks
};

int SmallWeight(int i) { return 1 + i % 7; }
void FillAllButLast(Service& service) {
  for (int i = 0; i + 1 < service.size(); ++i) service.FillUp(i);
}

const State kStates[] = {
    {"usual", SmallWeight, {}, [](Service& service) { service.Proceed(); }},
    {"all full",
     SmallWeight,
     [](Service& service) {
       FillAllButLast(service);
       service.FillUp(service.size() - 1);
     },
     {}},
    {"one has weight", [](int i) { return i == 0 ? 1 : 0; }, {}, {}},
    {"one left", SmallWeight, FillAllButLast, {}},
    {"the heavy full, one light left",
     [](int i) { return i == 0 ? 1 : 65535; },
     [](Service& service) {
       for (int i = 0; i < service.size(); ++i) {
         if (service.weight(i) > 1) service.FillUp(i);
       }
     },
     {}},
    {"every load changed", SmallWeight, {}, [](Service& service) { service.Stir(); }},
};

// Mean of the middle half.
double Mean(std::vector<uint64_t>& times) {
  std::sort(times.begin(), times.end());
  const auto quarter = static_cast<long>(times.size() / 4);
  const uint64_t sum = std::accumulate(times.begin() + quarter, times.end() - quarter, uint64_t{0});
  return static_cast<double>(sum) / static_cast<double>(times.size() - 2 * static_cast<size_t>(quarter));
}

double CostOfTiming() {
  std::vector<uint64_t> times;
  for (int i = 0; i < 10'000; ++i) {
    _mm_lfence();
    const uint64_t begin = __rdtsc();
    _mm_lfence();
    _mm_lfence();
    times.push_back(__rdtsc() - begin);
  }
  return Mean(times);
}

double TicksPerNanosecond() {
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t begin_ticks = __rdtsc();
  std::chrono::duration<double, std::nano> passed{};
  while (passed.count() < 2e7) passed = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(__rdtsc() - begin_ticks) / passed.count();
}

double TicksPerPick(const Contender& contender, const State& state, int servers, int picks) {
  // The slowest are those that we want to see, but not for ever.
  constexpr auto kLongest = std::chrono::milliseconds(200);
  Service service(contender.scheduler, contender.flags, servers, state.weight_of);
  if (state.prepare) state.prepare(service);
  std::vector<uint64_t> times;
  const auto end = std::chrono::steady_clock::now() + kLongest;
  for (int i = 0; i < picks && (times.size() < 3 || std::chrono::steady_clock::now() < end); ++i) {
    if (state.between) state.between(service);
    times.push_back(service.Pick());
  }
  return Mean(times);
}

int Main(int picks) {
  const double ticks_per_ns = TicksPerNanosecond();
  const double timing = CostOfTiming();
  for (const int servers : {10, 100, 1000}) {
    std::printf("\n| %d servers, ns a pick |", servers);
    for (const State& state : kStates) std::printf(" %s |", state.name);
    std::printf("\n|---|");
    for (size_t i = 0; i < std::size(kStates); ++i) std::printf("---|");
    std::printf("\n");
    for (const Contender& contender : kContenders) {
      std::printf("| %s |", contender.shown);
      for (const State& state : kStates) {
        const double ticks = TicksPerPick(contender, state, servers, picks);
        std::printf(" %.0f |", std::max(ticks - timing, 0.0) / ticks_per_ns);
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  return sluice::Main(quick ? 50 : 5000);
}
