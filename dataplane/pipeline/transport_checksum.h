// Whether the checksum of a TCP segment or an SCTP packet is right. Sluice does not look at it for every
// packet: it mends checksums by what it changes, and endpoints judge. But what is wrong must not move a
// state.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

// REQUIRES: a whole datagram of TCP or SCTP, not rewritten yet.
bool HasSoundTransportChecksum(Batch& batch, int lane);

// Whether a packet may open a connection or lead to another state. A first fragment has not all that its
// checksum covers, UDP has no states, and what an ICMP error quotes is not whole.
inline bool MayMoveState(Batch& batch, int lane) {
  return batch.tuple[lane].protocol() == Protocol::kUdp || batch.IsAboutFlow(lane) ||
         batch.IsFirstFragment(lane) || HasSoundTransportChecksum(batch, lane);
}

}  // namespace sluice
