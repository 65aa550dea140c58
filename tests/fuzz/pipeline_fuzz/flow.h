// The connections that workers have now, as the fuzzer sees them: whose reply is whose.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <vector>

#include "tests/fuzz/pipeline_fuzz/address.h"
#include "tests/fuzz/pipeline_fuzz/workers.h"

namespace sluice::fuzz {

// Addresses and ports of a packet.
struct Names {
  uint8_t protocol = 0;
  Address source;
  uint16_t source_port = 0;
  Address destination;
  uint16_t destination_port = 0;

  Names Reversed() const { return {protocol, destination, destination_port, source, source_port}; }
  std::string ToText() const {
    return std::to_string(protocol) + " " + source.ToText() + " " + std::to_string(source_port) + " > " +
           destination.ToText() + " " + std::to_string(destination_port);
  }
  friend auto operator<=>(const Names&, const Names&) = default;
};

struct Flow {
  Names from_client;                                 // as it comes
  Names to_server;                                   // as it leaves, with NAT
  ForwardingMethod method = ForwardingMethod::kNat;  // full NAT is NAT
  bool is_full_nat = false;
  bool is_inactive = false;
  bool has_template = false;
  uint16_t flags = 0;  // the connection's own
  DestinationId destination = kNoDestination;

  bool IsNat() const { return method == ForwardingMethod::kNat; }
  const Address& client() const { return from_client.source; }
  const Address& server() const { return to_server.destination; }
};

std::vector<Flow> FlowsOf(const Worker& worker);

}  // namespace sluice::fuzz
