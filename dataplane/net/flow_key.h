// The five fields that name a flow, either family, as schedulers and control see it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/net/byte_order.h"
#include "dataplane/net/ip_address.h"

namespace sluice {

// IANA protocol numbers.
enum class Protocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kSctp = 132 };

struct FlowKey {
  IpAddress source;
  IpAddress destination;
  Be16 source_port;
  Be16 destination_port;
  Protocol protocol = Protocol::kTcp;

  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

}  // namespace sluice
