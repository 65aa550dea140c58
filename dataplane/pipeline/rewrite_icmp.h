// NAT of ICMP errors: outside, and in the packet they quote.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

// Of an ICMP message, whatever it is.
bool HasSoundIcmpChecksum(Batch& batch, int lane);

// Towards the server an error is about a packet of the service to the client, and gets to be about a packet
// of the server; towards the client the other way round.
//
// REQUIRES: Parse found it to be an ICMP error about a flow.
void RewriteIcmpError(Batch& batch, int lane);

}  // namespace sluice
