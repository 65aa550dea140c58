// The packet buffers of a process.
// Threads: made and freed by the control thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"

struct rte_mempool;

namespace sluice {

// `for_af_xdp`: every buffer can be used with AF_XDP; see the .cc for what that takes.
absl::StatusOr<rte_mempool*> CreatePacketPool(const char* name, unsigned packets, bool for_af_xdp = true);

}  // namespace sluice
