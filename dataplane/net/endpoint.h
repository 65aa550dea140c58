// An address, a port and a protocol: what a service listens on, or a real server answers from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <string>

#include "dataplane/net/flow_key.h"

namespace sluice {

struct Endpoint {
  IpAddress address;
  Be16 port;
  Protocol protocol = Protocol::kTcp;

  std::string ToString() const { return EndpointToString(address, port); }

  friend auto operator<=>(const Endpoint& a, const Endpoint& b) {
    if (const auto order = a.address <=> b.address; order != 0) return order;
    if (const auto order = a.port.ToHost() <=> b.port.ToHost(); order != 0) return order;
    return a.protocol <=> b.protocol;
  }
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct EndpointHash {
  size_t operator()(const Endpoint& endpoint) const {
    return IpAddressHash()(endpoint.address) * 31 +
           (size_t{endpoint.port.raw} << 8 | static_cast<uint8_t>(endpoint.protocol));
  }
};

}  // namespace sluice
