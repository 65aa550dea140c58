// NAT: the destination of packets to real servers, the source of packets to clients.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include "dataplane/conn/connection.h"
#include "dataplane/net/headers.h"

namespace sluice {

// Checksums are updated, not verified: what was broken stays broken. Only a UDP checksum of zero (none) is
// replaced by a computed one, as IPVS does, and SCTP's is computed if the port changes; neither can be of a
// first fragment, which has not all of the datagram. REQUIRES: headers up to and including TCP's or UDP's are
// in the first segment.
void RewriteNat(const Connection& connection, Direction direction, Ipv4Header& ip, const rte_mbuf& packet);

// Of a fragment that is not the first: it has no ports, and the first has the checksum.
void RewriteNatAddress(const Connection& connection, Direction direction, Ipv4Header& ip);

}  // namespace sluice
