// The parts of Parse: either family's headers, and what they carry. Each fills its part of the lane; false:
// the packet has a verdict.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/stages.h"

namespace sluice {

// A packet from its IP header on. Headers must be in the first segment; what follows may be elsewhere.
struct IpBytes {
  uint8_t* start;
  uint32_t contiguous;
  uint32_t total;
};

bool ParseIpv4(Worker& worker, Batch& batch, int lane, const IpBytes& bytes);
bool ParseIpv6(Worker& worker, Batch& batch, int lane, const IpBytes& bytes);

constexpr bool IsBalanced(Protocol protocol) {
  return protocol == Protocol::kTcp || protocol == Protocol::kUdp || protocol == Protocol::kSctp;
}

// The transport headers of a balanced protocol, whose ports are where UDP has them; fills `signal`.
struct TransportBytes {
  const uint8_t* start;
  uint32_t contiguous;
  uint32_t total;    // as the IP header says
  bool is_fragment;  // the first of several
};
bool ParseTransport(Worker& worker, Batch& batch, int lane, Protocol protocol, const TransportBytes& bytes);

// The ports of a fragment that is not the first: those of the first, for which it waits if need be. From
// another worker they come along. Nothing: it has a verdict.
std::optional<FragmentTable::Ports> PortsOfLaterFragment(Worker& worker, Batch& batch, int lane,
                                                         const FragmentTable::Key& key);

}  // namespace sluice
