// A real server: echoes UDP, takes and echoes TCP, and counts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "bench/wire/options.h"
#include "bench/wire/report.h"

namespace sluice {

// Until its time is over, or SIGINT or SIGTERM comes.
absl::StatusOr<Report> RunServer(const WireOptions& options);

}  // namespace sluice
