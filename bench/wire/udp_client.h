// Sends UDP packets of many flows, at a rate, and hears the answers: what was lost, of which flow, and how
// long answers took. Packets are made here, headers and all, so that flows cost no sockets.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "bench/wire/options.h"
#include "bench/wire/report.h"

namespace sluice {

absl::StatusOr<Report> RunUdpClient(const WireOptions& options);

}  // namespace sluice
