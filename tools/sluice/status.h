// What `sluice status` and `sluice stats` print.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sluice/v1/sluice.pb.h"

namespace sluice {

// One screen: health, ports, workers, the busiest services, and what an operator should look at. `before` was
// asked for `seconds` before `now`.
std::string StatusText(const v1::GetInfoResponse& before, const v1::GetInfoResponse& now, double seconds,
                       const v1::ListServicesResponse& services);

// A line for each of the `most` busiest services, by packets a second.
std::string StatsText(const v1::ListServicesResponse& services, int most);

}  // namespace sluice
