// What the kernel's IPVS cannot do for a service, and rules for packets can.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/config/spec.h"

namespace sluice {

struct PacketNeeds {
  bool masquerade = false;             // full NAT, which is NAT there
  std::vector<std::string> keeps;      // prefixes of clients that are not masqueraded
  std::vector<IpAddress> own_clients;  // real servers that may be clients of the service
  using Ranges = std::vector<std::pair<IpAddress, IpAddress>>;
  std::optional<Ranges> clients;  // only these, each from first to last

  friend bool operator==(const PacketNeeds&, const PacketNeeds&) = default;
};

}  // namespace sluice
