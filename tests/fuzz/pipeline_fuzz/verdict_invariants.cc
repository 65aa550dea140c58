// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/counter_role.h"
#include "tests/fuzz/pipeline_fuzz/invariants.h"

namespace sluice::fuzz {
namespace {

std::string Listed(const Burst& burst) {
  std::string text;
  for (int i = 0; i < kCounterCount; ++i) {
    if (burst.counted[i] == 0) continue;
    text += " " + std::string(kCounterDescriptions[i].name) + " " + std::to_string(burst.counted[i]);
  }
  text += "; verdicts";
  for (const Departure& each : burst.departures)
    text += " " + std::to_string(static_cast<int>(each.verdict)) + (each.answered ? "a" : "");
  return text;
}

uint64_t CountedAs(const Burst& burst, CounterRole role) {
  uint64_t sum = 0;
  for (int i = 0; i < kCounterCount; ++i) {
    if (RoleOf(static_cast<Counter>(i)) == role) sum += burst.counted[i];
  }
  return sum;
}

uint64_t Counted(const Burst& burst, Counter counter) { return burst.counted[static_cast<int>(counter)]; }

}  // namespace

void CheckVerdicts(const Burst& burst, Complaints& complaints) {
  const auto listed = [&] { return Listed(burst); };
  complaints.Demand(burst.fault.empty(), "one_list", [&] { return burst.fault; });
  uint64_t ended = 0, answered = 0, split = 0, by_kernel = 0, undecided = 0;
  for (const Departure& each : burst.departures) {
    answered += each.answered;
    ended += each.answered || each.verdict == Verdict::kDrop || each.verdict == Verdict::kKernelInput;
    split += each.verdict == Verdict::kSplit;
    by_kernel += each.verdict == Verdict::kKernelOutput;
    undecided += each.verdict == Verdict::kNone || each.verdict == Verdict::kAnswer;
  }
  complaints.Demand(undecided == 0, "one_verdict", listed);
  const uint64_t split_in_vain = split - Counted(burst, Counter::kSplit);
  complaints.Demand(split_in_vain == 0, "what_may_be_split_is_sent", listed);
  complaints.Demand(CountedAs(burst, CounterRole::kReason) == ended + split_in_vain, "one_counter", listed);
  complaints.Demand(CountedAs(burst, CounterRole::kAnswer) == answered, "one_answer_counter", listed);
  complaints.Demand(Counted(burst, Counter::kKernelForwards) == by_kernel, "kernel_forwards_counter", listed);
}

void CheckEvictions(const Burst& burst, size_t before, Complaints& complaints) {
  uint64_t evicted = 0;
  for (int i = 0; i < kCounterCount; ++i) {
    const auto counter = static_cast<Counter>(i);
    const bool for_room =
        kCounterDescriptions[i].name.starts_with("evicted_") && counter != Counter::kEvictedForPort;
    if (for_room && RoleOf(counter) == CounterRole::kDeath) evicted += burst.counted[i];
  }
  if (evicted == 0) return;
  complaints.Demand(before + CountedAs(burst, CounterRole::kBirth) >= burst.worker->connections.capacity(),
                    "nothing_evicted_while_there_is_room",
                    [&] { return std::to_string(before) + " connections before;" + Listed(burst); });
}

}  // namespace sluice::fuzz
