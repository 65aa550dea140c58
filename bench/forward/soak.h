// bench/run soak: the traffic goes on for long, with configuration changes beside it; every second a line
// says whether anything grows or falls behind.
// Threads: the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "bench/forward/balancer.h"
#include "bench/forward/traffic.h"

namespace sluice {

uint64_t ResidentBytes();

void Soak(Balancer& balancer, const Traffic& traffic, const std::vector<std::unique_ptr<Source>>& sources,
          double seconds);

}  // namespace sluice
