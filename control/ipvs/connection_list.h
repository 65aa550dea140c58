// Connections as the kernel's IPVS lists its own in /proc: a line for each. With full NAT, which it does not
// know, the local address and port come last.
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

struct ListedConnection {
  FlowKey flow;  // of the client's packets; from port 0: a template of persistence, whose state is 1 if it is
                 // assured
  Endpoint server;
  IpAddress local_address;  // with full NAT
  Be16 local_port;          // 0: without
  uint8_t state = 0;
  uint32_t expires_seconds = 0;

  bool IsTemplate() const { return flow.source_port == Be16{}; }
};

// One line of the list; nothing if it is a title, or none that we know.
std::optional<ListedConnection> ParseConnection(const std::string& line);

std::string FormatConnection(const ListedConnection& connection);

// All that a file lists. The kernel walks its table anew for every part that is read: not to be asked often.
absl::StatusOr<std::vector<ListedConnection>> ReadConnectionList(
    const std::string& path = "/proc/net/ip_vs_conn");

// Those whose service and real server are ours, as the data path takes them.
std::vector<AdoptedConnection> Assign(const std::vector<ListedConnection>& connections,
                                      const Snapshot& snapshot, const DestinationTable& destinations);
std::vector<AdoptedTemplate> AssignTemplates(const std::vector<ListedConnection>& connections,
                                             const Snapshot& snapshot);

}  // namespace sluice
