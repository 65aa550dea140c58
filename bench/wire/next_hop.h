// Where packets to an address leave this host, and to whom: asked of the kernel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "dataplane/net/endpoint.h"
#include "dataplane/net/mac_address.h"

namespace sluice {

struct WireNextHop {
  int interface = 0;
  MacAddress own;
  MacAddress neighbour;
};

// Sends a datagram there, so that the kernel learns the neighbour.
absl::StatusOr<WireNextHop> FindNextHop(const Endpoint& target);

}  // namespace sluice
