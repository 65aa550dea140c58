// NAT of ICMP errors: outside, and in the packet they quote.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include "dataplane/conn/connection.h"
#include "dataplane/net/headers.h"

namespace sluice {

// Of an ICMP message, whatever it is.
bool HasSoundIcmpChecksum(const Ipv4Header& ip, const rte_mbuf& packet);

// Towards the server an error is about a packet of the service to the client, and gets to be about a packet
// of the server; towards the client the other way round.
//
// REQUIRES: Parse found it to be an ICMP error about a flow.
void RewriteIcmpError(const Connection& connection, Direction direction, Ipv4Header& ip,
                      const rte_mbuf& packet);

}  // namespace sluice
