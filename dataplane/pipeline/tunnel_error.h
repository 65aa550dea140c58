// ICMP errors about packets that Sluice itself put into tunnels: who sent the inner packet must be told.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/stages.h"

namespace sluice {

// For Parse: whether the packet that an ICMP error quotes (`quoted` bytes of it) is such a one. Then the lane
// is about the inner packet: kind, tuple, ip, ip_length and transport_at are its, `answer` is what its sender
// is to be told, and `answer_mtu` what the way to the real server takes.
//
// REQUIRES: an ICMP error, of the family of what it quotes, with headers as the lane says.
bool IsAboutTunnel(const Worker& worker, Batch& batch, int lane, uint8_t* about, uint32_t quoted);

// For Track: remembers what the way takes, and answers the sender.
void TrackTunnelError(Worker& worker, Batch& batch, int lane);

}  // namespace sluice
