// AF_XDP sockets of this process, and the buffers that DPDK's driver leaves in their rings when it closes
// them.
// Threads: the one that opens and closes ports.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <vector>

struct rte_mbuf;
struct rte_mempool;

namespace sluice {

// Descriptors that are AF_XDP sockets.
std::set<int> XdpSockets();
// Descriptors of BPF programs, maps and types. The driver forgets those of the program it is given.
std::set<int> BpfFiles();

// Buffers that are in the rings of a socket whose interface has gone, so that the kernel takes and gives none
// any more. They are the pool's again when the socket is closed.
std::vector<rte_mbuf*> BuffersInRings(int socket, rte_mempool* pool);

}  // namespace sluice
