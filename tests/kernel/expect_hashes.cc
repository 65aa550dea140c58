// Where our hash schedulers send the packets of hash_cases.h: a line of the case's name, and a line with a
// character for each packet, the number of the server or '-'.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "schedulers/scheduler.h"
#include "tests/kernel/hash_cases.h"

int main() {
  using namespace sluice;
  for (const HashCase& each : HashCases()) {
    std::vector<DestinationLoad> loads(HashCase::Weights().size());
    LoadGroup group;
    std::vector<Candidate> candidates;
    for (int i = 1; i <= static_cast<int>(loads.size()); ++i) {
      const int weight = HashCase::Weights()[static_cast<size_t>(i - 1)];
      candidates.insert(candidates.begin(), {.address = *IpAddress::Parse(each.Server(i)),
                                             .port = Be16::FromHost(kHashPort),
                                             .weight = weight,
                                             .last_weight = weight,
                                             .ordinal = static_cast<uint32_t>(i),
                                             .load = &loads[static_cast<size_t>(i - 1)],
                                             .group = &group,
                                             .bit = static_cast<uint8_t>(i)});
    }
    const auto scheduler = FindScheduler(each.scheduler)(
        {.candidates = candidates, .flags = {.flag_1 = each.with_fallback, .flag_2 = each.with_port}});
    std::printf("%s\n", each.name.c_str());
    for (uint32_t i = 0; i < kPacketsPerCase; ++i) {
      const int chosen = scheduler->Pick(HashPacket(each, i), candidates);
      std::putchar(chosen == kNoCandidate
                       ? '-'
                       : static_cast<char>('0' + candidates[static_cast<size_t>(chosen)].ordinal));
    }
    std::putchar('\n');
  }
  return 0;
}
