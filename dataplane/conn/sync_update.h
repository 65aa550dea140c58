// What is told of a connection to another balancer that shall know it, and which connections are.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/net/flow_key.h"

namespace sluice {

struct SyncUpdate {
  IpAddress client;
  IpAddress virtual_address;
  IpAddress destination;
  Be16 client_port;
  Be16 virtual_port;
  Be16 destination_port;
  uint16_t flags = 0;  // IPVS's
  Protocol protocol = Protocol::kTcp;
  uint8_t state = 0;
  uint16_t unused = 0;
  uint32_t timeout_seconds = 0;  // how long it lives without packets
  uint32_t fwmark = 0;           // by which its service gets packets
};
static_assert(sizeof(SyncUpdate) == 72);

// Those that are told of are told of again when their state changes, and before whoever was told forgets
// them.
struct alignas(8) SyncPolicy {
  enum class Which : uint8_t {
    kNone,
    kAll,      // as soon as both sides have spoken
    kPackets,  // those with so many packets of the client's
    kLong,     // those that have lived for so long
  };
  uint32_t packets = 0;
  uint16_t seconds = 0;
  Which which = Which::kNone;
  bool half_open = false;  // those too that are being opened: before a switch, and while they are few
};

}  // namespace sluice
