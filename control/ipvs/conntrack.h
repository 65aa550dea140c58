// The kernel's table of connections: forgets flows of UDP to real servers that have gone, which would go on
// there for as long as the client sends.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <set>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/ipvs/kernel_service.h"

namespace sluice {

struct UdpServer {
  IpAddress service;
  Be16 service_port;  // 0: every port
  IpAddress server;
  Be16 server_port;  // 0: the port that the client asked for

  friend auto operator<=>(const UdpServer& a, const UdpServer& b) {
    return std::tuple(a.service, a.service_port.raw, a.server, a.server_port.raw) <=>
           std::tuple(b.service, b.service_port.raw, b.server, b.server_port.raw);
  }
  friend bool operator==(const UdpServer& a, const UdpServer& b) { return (a <=> b) == 0; }
};

// Servers of a service of UDP that `wanted` (nullptr: nothing) has no more.
std::vector<UdpServer> GoneUdpServers(const KernelService* have, const KernelService* wanted);

// How many flows there were.
absl::StatusOr<size_t> ForgetUdpFlows(const std::set<UdpServer>& servers);

}  // namespace sluice
