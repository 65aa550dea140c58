// Splits packets that are too large for the next link, and may be, into fragments (RFC 791, 3.2).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include "dataplane/net/headers.h"

namespace sluice {

// Fragments of `packet` that fit `mtu`, ready for the wire with its Ethernet header, into `pieces`; the
// packet stays the caller's. Returns how many; 0: there is no room for all of them, or no buffer. REQUIRES:
// headers up to and including IP's are in the first segment.
int SplitPacket(const rte_mbuf& packet, uint16_t mtu, rte_mbuf** pieces, int room);

}  // namespace sluice
