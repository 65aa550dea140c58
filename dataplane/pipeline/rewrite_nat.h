// NAT: the addresses and ports of packets to real servers, and of those to clients.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

// Checksums are updated, not verified: what was broken stays broken. Only IPv4's UDP checksum of zero (none)
// is replaced by a computed one, as IPVS does, and SCTP's is computed if a port changes; neither can be of a
// first fragment, which has not all of the datagram.
void RewriteNat(Batch& batch, int lane);

// SCTP's checksum covers ports.
bool PortsChange(const Connection& connection);

// Of a fragment that is not the first: it has no ports, and the first has the checksum.
void RewriteNatAddresses(Batch& batch, int lane);

}  // namespace sluice
