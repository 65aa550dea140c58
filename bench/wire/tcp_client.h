// Opens TCP connections, real ones, and closes them as soon as they stand: how many a second, and how long
// each took.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "bench/wire/options.h"
#include "bench/wire/report.h"

namespace sluice {

absl::StatusOr<Report> RunTcpClient(const WireOptions& options);

}  // namespace sluice
