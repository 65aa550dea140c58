// An answer in the name of the other side: the connection is over.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

// Turns a TCP segment into the RST that answers it (RFC 9293, 3.10.7.1), to whoever sent it. The Ethernet
// header is left to the caller. REQUIRES: the segment is not an RST itself.
void TurnIntoReset(Batch& batch, int lane);

}  // namespace sluice
