// What sluice-bench was asked for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/net/endpoint.h"

namespace sluice {

struct WireOptions {
  bool is_server = false;
  bool json = false;
  double seconds = 10;  // of a server: 0, until it is told to end
  // Of a client.
  Endpoint target{.protocol = Protocol::kUdp};
  IpAddress first_source;  // clients' addresses: so many from this one on; unspecified: the host's own (TCP)
  uint32_t sources = 1;
  uint32_t flows = 1024;      // UDP: established ones
  double fresh = 0;           // UDP: share of packets that are the first of a flow
  double rate = 0;            // packets or connections a second; 0: as many as it can
  uint32_t size = 60;         // UDP: of a frame, without its check sequence
  bool one_way = false;       // UDP: nobody answers
  uint32_t concurrency = 64;  // TCP: connections at the same time
  // Of a server.
  std::vector<Endpoint> listen;  // both protocols
  bool answers = true;
};

extern const char kWireUsage[];

absl::StatusOr<WireOptions> ParseWireOptions(const std::vector<std::string>& words);

}  // namespace sluice
