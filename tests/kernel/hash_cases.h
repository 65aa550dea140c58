// The same questions for a kernel and for our schedulers: to which server does a packet with these addresses
// and ports go? Cases are configurations of hash schedulers; packets are random, the same on both sides.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/net/flow_key.h"

namespace sluice {

struct HashCase {
  std::string name;       // "sh-port of IPv6"
  std::string scheduler;  // sh, dh or mh
  bool with_port = false;
  bool with_fallback = false;
  bool is_v6 = false;

  // Server i is 10.1.0.i or fd01::i, with this weight; added in this order.
  static const std::vector<int>& Weights();
  std::string Server(int i) const;
};

std::vector<HashCase> HashCases();
inline constexpr int kPacketsPerCase = 10'000;
inline constexpr uint16_t kHashPort = 80;  // of servers

// Packet `i` of a case: a UDP datagram from anywhere to 10.99.0.0/16 or fd99::/112.
FlowKey HashPacket(const HashCase& hash_case, uint32_t i);

}  // namespace sluice
