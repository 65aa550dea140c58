// The look of a forwarded packet, given the connection it is of: compared byte by byte with what came in.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/fuzz/pipeline_fuzz/flow.h"
#include "tests/fuzz/pipeline_fuzz/frame_view.h"

namespace sluice::fuzz {

// The names of a packet with ports.
Names NamesOf(const IpView& ip);
// Packet that an ICMP error quotes, if it quotes a balanced one with its ports.
std::optional<IpView> QuotedBy(const IpView& icmp);
bool IsIcmpError(const IpView& ip);

// Fault of `out`, which is the packet `in` of this connection after its way; empty: none.
// `tunnel`: of the destination, meant only for packets that go into one.
std::string FaultOf(const IpView& in, const IpView& out, const Flow& flow, Direction direction,
                    const TunnelSpec& tunnel);

}  // namespace sluice::fuzz
