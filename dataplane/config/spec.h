// What is wanted, as plain values: the input of SnapshotBuilder. Whoever fills it has validated it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/net/endpoint.h"
#include "schedulers/scheduler.h"

namespace sluice {

// A service is named by the endpoint its clients know.
using ServiceKey = Endpoint;

struct DestinationSpec {
  IpAddress address;
  Be16 port;
  int32_t weight = 1;
  // No more connections than this, and new ones again below that; 0: no limit, three quarters of the upper.
  uint32_t upper_threshold = 0;
  uint32_t lower_threshold = 0;

  friend bool operator==(const DestinationSpec&, const DestinationSpec&) = default;
};

struct ServiceSpec {
  ServiceKey key;
  std::string scheduler = "wlc";  // a registered name
  SchedulerFlags flags;
  bool one_packet = false;  // UDP: every datagram is scheduled by itself, and no connection is kept
  std::vector<DestinationSpec> destinations;  // in the order of adding; endpoints are distinct

  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

// ipvsadm --set, in seconds.
struct TimeoutSpec {
  uint32_t tcp_seconds = 900;
  uint32_t tcp_fin_seconds = 120;
  uint32_t udp_seconds = 300;

  friend bool operator==(const TimeoutSpec&, const TimeoutSpec&) = default;
};

}  // namespace sluice
