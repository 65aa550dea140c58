// Tunnels: a packet to a real server inside another: IPIP, GUE or GRE, over IPv4.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include "dataplane/config/spec.h"
#include "dataplane/net/headers.h"

namespace sluice {

// How much longer a packet becomes.
uint16_t TunnelOverhead(const TunnelSpec& tunnel);

struct TunnelEnds {
  Be32 source;
  Be32 destination;
  uint64_t flow_hash = 0;       // GUE's source port follows from it
  uint16_t identification = 0;  // of the outer header
};

// Puts the outer headers in front of `ip`, and room for an Ethernet header in front of them. Time to live,
// type of service (RFC 6040, with full functionality) and "don't fragment" are the inner header's. nullptr:
// no room. REQUIRES: `ip` comes right behind the Ethernet header.
Ipv4Header* Encapsulate(const TunnelSpec& tunnel, const TunnelEnds& ends, const Ipv4Header& ip,
                        rte_mbuf& packet);

}  // namespace sluice
