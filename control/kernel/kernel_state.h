// What the host's kernel has said about its links, addresses, routes and neighbours; tables main and local.
// Fed with netlink messages, asked for the ForwardingSpec they amount to.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "dataplane/config/forwarding_builder.h"

namespace sluice {

// What a message changed, and whether the kernel is known to have changed routes without saying so: it does
// when a link goes down, an address is removed or a nexthop object changes.
struct KernelChange {
  bool any = false;
  bool routes_in_doubt = false;
};

class KernelState {
 public:
  // A message that makes no sense changes nothing.
  KernelChange Apply(const nlmsghdr& message);
  // Forgets a table that is about to be read anew: RTM_GETROUTE's, and so on.
  void Forget(uint16_t dump);

  // `port_of_interface`: which interfaces the data path has, by index.
  ForwardingSpec Spec(const std::map<int, uint16_t>& port_of_interface) const;

  struct Neighbour {
    MacAddress mac;
    bool usable = false;
    bool confirmed = false;  // false: the kernel would ask again before it relied on it
    friend bool operator==(const Neighbour&, const Neighbour&) = default;
  };
  using NeighbourName = std::pair<int, IpAddress>;
  // nullptr: unknown.
  const Neighbour* FindNeighbour(const NeighbourName& name) const;

 private:
  struct Link {
    MacAddress mac;
    uint32_t mtu = 0;
    bool up = false;  // by the operator
    bool carrier = false;
    int parent = 0;     // of a VLAN
    uint16_t vlan = 0;  // 0: it is none
    friend bool operator==(const Link&, const Link&) = default;
  };
  struct RouteName {
    IpAddress prefix;
    int prefix_length = 0;
    uint32_t table = 0;
    uint32_t priority = 0;
    friend auto operator<=>(const RouteName&, const RouteName&) = default;
  };

  struct Route {
    RouteSpec spec;  // of several with one name, the one that the kernel uses
    bool has_others = false;
  };

  KernelChange ApplyLink(const nlmsghdr& message);
  KernelChange ApplyAddress(const nlmsghdr& message);
  KernelChange ApplyRoute(const nlmsghdr& message);
  void NameSources(ForwardingSpec& spec) const;
  KernelChange AddRoute(const RouteName& name, RouteSpec spec, uint16_t flags);
  KernelChange DeleteRoute(const RouteName& name);
  KernelChange ApplyNeighbour(const nlmsghdr& message);

  std::map<int, Link> links_;
  std::map<IpAddress, std::set<int>> addresses_;  // and the interfaces that have them
  std::map<RouteName, Route> routes_;
  std::map<NeighbourName, Neighbour> neighbours_;
};

}  // namespace sluice
