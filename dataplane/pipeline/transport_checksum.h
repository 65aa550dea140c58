// Transport checksum of a TCP segment or an SCTP packet. Sluice verifies it only where a packet would move a
// state: elsewhere it updates checksums by what it changes, and the endpoints judge.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

// REQUIRES: a whole datagram of TCP or SCTP, not rewritten yet.
bool HasSoundTransportChecksum(Batch& batch, int lane);

// True if a packet may open a connection or lead to another state. A first fragment has not all that its
// checksum covers, UDP has no states, and what an ICMP error quotes is not whole.
inline bool MayMoveState(Batch& batch, int lane) {
  return batch.tuple[lane].protocol() == Protocol::kUdp || batch.IsAboutFlow(lane) ||
         batch.IsFirstFragment(lane) || HasSoundTransportChecksum(batch, lane);
}

}  // namespace sluice
