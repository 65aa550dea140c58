// Straw man's entry of a flow: a cache line, or two of IPv6. An Address is a Be32 or an Ipv6Address.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/byte_order.h"
#include "dataplane/net/headers.h"

namespace sluice {

// No padding that is not set: it is hashed and compared as bytes.
template <class Address>
struct FlowName {
  Address source;
  Address destination;
  Be16 source_port;
  Be16 destination_port;
  uint32_t protocol = 0;
};
static_assert(sizeof(FlowName<Be32>) == 16 && sizeof(FlowName<Ipv6Address>) == 40);

template <class Address>
struct alignas(64) FlowEntry {
  FlowName<Address> name;
  FlowName<Address> to;
  EthernetHeader ethernet;
  uint16_t address_delta = 0;
  uint16_t transport_delta = 0;
  uint32_t last_seen = 0;
  uint32_t packets = 0;
  uint32_t bytes = 0;
};
static_assert(sizeof(FlowEntry<Be32>) == 64 && sizeof(FlowEntry<Ipv6Address>) == 128);

}  // namespace sluice
