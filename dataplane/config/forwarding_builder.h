// Builds Forwarding values from the host's links, routes and neighbours, and keeps next-hop ids stable
// from one to the next, so that workers need not look up again what did not move.
// Threads: one thread, the one that feeds it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/config/forwarding.h"

namespace sluice {

inline constexpr uint16_t kNoPort = 0xffff;

struct LinkSpec {
  MacAddress mac;
  uint16_t mtu = 1500;
  bool up = false;
  uint16_t port = kNoPort;  // of the data path; kNoPort: the interface is the kernel's alone
  uint16_t vlan = 0;        // its packets are tagged; 0: they are not
};

struct RouteLeg {
  int interface = 0;
  std::optional<IpAddress> gateway;
  uint32_t weight = 1;

  friend bool operator==(const RouteLeg&, const RouteLeg&) = default;
};

enum class RouteKind : uint8_t { kUnicast, kLocal, kUnreachable };

struct RouteSpec {
  IpAddress prefix;       // host bits are zero
  int prefix_length = 0;  // 0..32 for IPv4, 0..128 for IPv6
  RouteKind kind = RouteKind::kUnicast;
  std::vector<RouteLeg> legs;
  std::optional<IpAddress> source;  // preferred for packets that the host itself sends

  friend bool operator==(const RouteSpec&, const RouteSpec&) = default;
};

struct ForwardingSpec {
  std::map<int, LinkSpec> links;                               // by interface index
  std::vector<RouteSpec> routes;                               // at most one per prefix
  std::map<std::pair<int, IpAddress>, MacAddress> neighbours;  // usable ones only
  std::vector<IpAddress> host_addresses;
};

class ForwardingBuilder {
 public:
  std::shared_ptr<const Forwarding> Build(const ForwardingSpec& spec);

 private:
  using NeighbourName = std::pair<int, IpAddress>;

  // False: some came or went.
  bool AddNeighbours(const ForwardingSpec& spec, Forwarding& forwarding);
  void AddRoutes(const ForwardingSpec& spec, Forwarding& forwarding);

  uint32_t generation_ = 0;
  std::map<NeighbourName, NextHopId> ids_;
  // As they were built last.
  std::vector<RouteSpec> routes_;
  std::map<int, LinkSpec> links_;
};

}  // namespace sluice
