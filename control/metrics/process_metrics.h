// What Prometheus' own libraries tell of every process.
// Threads: a function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sluice {

// process_cpu_seconds_total and its like, of this process.
std::string ProcessMetrics();

}  // namespace sluice
