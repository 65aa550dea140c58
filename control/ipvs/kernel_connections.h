// The connections that the kernel's IPVS has, as it lists them in /proc.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

struct KernelConnection {
  FlowKey flow;  // of the client's packets
  Endpoint server;
  uint8_t state = 0;
  uint32_t expires_seconds = 0;
};

// One line of the list; nothing if it is a title, a template, or none that we know.
std::optional<KernelConnection> ParseKernelConnection(const std::string& line);

// All of them. The kernel walks its table anew for every part that is read: not to be asked often.
absl::StatusOr<std::vector<KernelConnection>> ReadKernelConnections(
    const std::string& path = "/proc/net/ip_vs_conn");

// Those whose service and real server are ours, as the data path takes them.
std::vector<AdoptedConnection> Assign(const std::vector<KernelConnection>& connections,
                                      const Snapshot& snapshot, const DestinationTable& destinations);

}  // namespace sluice
