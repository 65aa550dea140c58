// ICMP in the name of the address a packet was sent to: errors about it, or the reply to an echo.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/conn/jiffies.h"
#include "dataplane/net/headers.h"

namespace sluice {

struct Batch;

struct IcmpError {
  uint8_t type;
  uint8_t code;
  uint16_t mtu = 0;  // of "fragmentation needed" and "packet too big"
};
inline constexpr IcmpError kIcmpPortUnreachable = {3, 3};
inline constexpr IcmpError kIcmpTimeExceeded = {11, 0};
constexpr IcmpError IcmpFragmentationNeeded(uint16_t mtu) { return {3, 4, mtu}; }
inline constexpr IcmpError kIcmpv6PortUnreachable = {1, 4};
inline constexpr IcmpError kIcmpv6TimeExceeded = {3, 0};
constexpr IcmpError Icmpv6PacketTooBig(uint16_t mtu) { return {2, 0, mtu}; }

// Turns a packet into the ICMP error of its family that answers it: as much of it is quoted as a host quotes,
// 576 bytes in IPv4 and IPv6's least MTU. `ip` and `ip_length` of the lane are the error's from then on; the
// Ethernet header is left to the caller. False: no room in front.
bool TurnIntoIcmpError(const IcmpError& error, Batch& batch, int lane);

// Turns an echo request, behind headers without options, into its reply.
void TurnIntoEchoReply(Batch& batch, int lane);

// So many errors a second, as a host allows itself by default (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst).
// Threads: belongs to one worker.
class IcmpLimit {
 public:
  explicit IcmpLimit(Jiffies now) : filled_at_(now) {}

  bool Take(Jiffies now) {
    const Jiffies passed = now - filled_at_;
    filled_at_ = now;
    credit_ = passed >= kBurstCredit / kPerJiffy ? kBurstCredit : credit_ + passed * kPerJiffy;
    if (credit_ > kBurstCredit) credit_ = kBurstCredit;
    if (credit_ == 0) return false;
    --credit_;
    return true;
  }

 private:
  static constexpr uint32_t kPerJiffy = 1000 / kJiffiesPerSecond;
  static constexpr uint32_t kBurstCredit = 50;

  Jiffies filled_at_;
  uint32_t credit_ = kBurstCredit;
};

}  // namespace sluice
