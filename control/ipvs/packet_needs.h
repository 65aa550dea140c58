// What the kernel's IPVS cannot do for a service, and rules for packets can.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/config/spec.h"

namespace sluice {

struct PacketNeeds {
  bool masquerade = false;                                      // full NAT, which is NAT there
  using Ranges = std::vector<std::pair<IpAddress, IpAddress>>;  // from first to last, without overlap
  Ranges keeps;                                                 // clients that are not masqueraded
  std::vector<IpAddress> own_clients;  // real servers that may be clients of the service
  std::optional<Ranges> clients;       // only these

  friend bool operator==(const PacketNeeds&, const PacketNeeds&) = default;
};

}  // namespace sluice
