// DPDK without root, hugepages, devices or files, for tests and benchmarks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

namespace sluice {

// Starts the EAL in this process, once.
void StartEalForTest(int megabytes = 128);

// A pool of packet buffers that lives as long as the process.
rte_mempool* PacketPoolForTest(unsigned packets = 8191);

}  // namespace sluice
