// What the straw man keeps of a flow: one cache line.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/byte_order.h"
#include "dataplane/net/headers.h"

namespace sluice {

// No padding that is not set: it is hashed and compared as bytes.
struct FlowName {
  Be32 source;
  Be32 destination;
  Be16 source_port;
  Be16 destination_port;
  uint32_t protocol = 0;
};
static_assert(sizeof(FlowName) == 16);

struct alignas(64) FlowEntry {
  FlowName name;
  FlowName to;
  EthernetHeader ethernet;
  uint16_t address_delta = 0;
  uint16_t transport_delta = 0;
  uint32_t last_seen = 0;
  uint32_t packets = 0;
  uint32_t bytes = 0;
};
static_assert(sizeof(FlowEntry) == 64);

}  // namespace sluice
