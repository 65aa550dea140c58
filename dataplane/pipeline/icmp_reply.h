// ICMP to the sender of a packet: errors about it, or the reply to an echo.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"

namespace sluice {

inline constexpr IcmpError kIcmpPortUnreachable = {3, 3, 0};
inline constexpr IcmpError kIcmpHostUnreachable = {3, 1, 0};
inline constexpr IcmpError kIcmpv6AddressUnreachable = {1, 3, 0};
inline constexpr IcmpError kIcmpTimeExceeded = {11, 0, 0};
constexpr IcmpError IcmpFragmentationNeeded(uint16_t mtu) { return {3, 4, mtu}; }
inline constexpr IcmpError kIcmpv6PortUnreachable = {1, 4, 0};
inline constexpr IcmpError kIcmpv6TimeExceeded = {3, 0, 0};
constexpr IcmpError Icmpv6PacketTooBig(uint16_t mtu) { return {2, 0, mtu}; }

// Turns a packet into the ICMP error of its family that answers it: as much of it is quoted as a host quotes,
// 576 bytes in IPv4 and IPv6's least MTU. `ip` and `ip_length` of the lane are the error's from then on; the
// Ethernet header is left to the caller. False: no room in front.
bool TurnIntoIcmpError(const IcmpError& error, const IpAddress& in_the_name_of, Batch& batch, int lane);

// Turns an echo request, behind headers without options, into its reply.
void TurnIntoEchoReply(Batch& batch, int lane);

}  // namespace sluice
