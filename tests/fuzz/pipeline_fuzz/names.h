// The few hosts, ports and networks that configurations and packets are about, so that they meet often.
// Threads: pure functions of the dice.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tests/fuzz/pipeline_fuzz/address.h"
#include "tests/fuzz/pipeline_fuzz/dice.h"

namespace sluice::fuzz {

// Ten servers, of which nine are neighbours that are known; the host's addresses for full NAT among them.
inline Address Numbered(const char* v4, const char* v6, bool is_v6, uint32_t number) {
  return Address::Of((is_v6 ? v6 : v4) + std::to_string(number));
}
inline Address AnyClient(Dice& dice, bool is_v6) {
  return Numbered("10.0.0.", "fd00:a::", is_v6, 1 + dice.Below(4));
}
inline Address AnyVirtual(Dice& dice, bool is_v6) {
  return Numbered("10.99.0.", "fd00:99::", is_v6, 1 + dice.Below(3));
}
inline Address AnyServer(Dice& dice, bool is_v6) {
  return Numbered("10.1.0.", "fd00:b::", is_v6, 1 + dice.Below(dice.OneIn(2) ? 3 : 10));
}
inline Address AnyLocal(Dice& dice, bool is_v6) {
  return Numbered("10.1.0.10", "fd00:b::10", is_v6, dice.Below(dice.OneIn(2) ? 1 : 3));
}
inline Address TunnelSource(bool is_v6) { return Address::Of(is_v6 ? "fd00:b::fe" : "10.1.0.254"); }
inline Address Router(bool is_v6) { return Address::Of(is_v6 ? "fd00:b::9" : "10.1.0.9"); }

// Addresses that no host has, or that pretend to be of the other family.
inline Address AnyStrange(Dice& dice, bool is_v6) {
  if (!is_v6)
    return Address::Of(dice.Any<std::string>(
        {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1"}));
  return Address::Of(dice.Any<std::string>({"::", "::1", "ff02::1", "ff0e::5", "::ffff:10.0.0.1",
                                            "::ffff:10.99.0.1", "::ffff:10.1.0.1", "::ffff:10.1.0.100",
                                            "::10.99.0.1", "::7", "::ffff:0.0.0.0", "::ffff:127.0.0.1"}));
}

inline uint16_t AnyClientPort(Dice& dice) { return static_cast<uint16_t>(2000 + dice.Below(6)); }
inline uint8_t AnyProtocol(Dice& dice) { return dice.Any<uint8_t>({6, 6, 17, 17, 132}); }

// VLANs: 7 is on the clients' port, 9 on the servers'.
inline constexpr uint16_t kVlanOfClients = 7, kVlanOfServers = 9;

}  // namespace sluice::fuzz
