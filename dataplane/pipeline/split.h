// Splits packets that are too large for the next link, and may be, into fragments (RFC 791, 3.2; RFC
// 8200, 4.5).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include "dataplane/net/headers.h"

namespace sluice {

struct SplitOptions {
  uint16_t mtu;
  uint16_t ip_length;
  Be32 identification;  // of IPv6; IPv4 has its own
};

// Fragments of `packet` that fit, ready for the wire with its Ethernet header, into `pieces`; the packet
// stays the caller's. Returns how many; 0: there is no room for all of them, or no buffer. REQUIRES: headers
// up to and including IP's are in the first segment; IPv6 has no extension headers.
int SplitPacket(const rte_mbuf& packet, const uint8_t* ip, const SplitOptions& options, rte_mbuf** pieces,
                int room);

}  // namespace sluice
