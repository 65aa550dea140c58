// Where packets leave: routes and neighbours of the host, as a value. Next hops are resolved by control;
// a worker looks one up when it meets a flow, and keeps the id while `generation` stays.
// Threads: built by ForwardingBuilder on the thread that feeds it, then read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/config/flat_table.h"
#include "dataplane/net/ip_address.h"
#include "dataplane/net/mac_address.h"

namespace sluice {

using NextHopId = uint32_t;
// Three ids that every Forwarding has.
inline constexpr NextHopId kNoRoute = 0;  // nowhere to go: drop
// The kernel must send it: its neighbour is unknown, or the interface is not ours.
inline constexpr NextHopId kAskKernel = 1;
// It is for the host itself.
inline constexpr NextHopId kHost = 2;

enum class NextHopKind : uint8_t { kNoRoute, kKernel, kHost, kWire };

struct alignas(32) NextHop {
  MacAddress destination;  // these 12 bytes are copied into the frame as they stand
  MacAddress source;
  uint16_t port = 0;  // of the data path
  uint16_t vlan = 0;  // 0: untagged
  uint16_t mtu = 0;
  NextHopKind kind = NextHopKind::kNoRoute;

  friend bool operator==(const NextHop&, const NextHop&) = default;
};

class Forwarding {
 public:
  Forwarding();

  // Grows whenever an id handed out may no longer be the right one. A neighbour's new MAC address does not
  // change it.
  uint32_t generation() const { return generation_; }
  const NextHop& hop(NextHopId id) const { return hops_[id]; }
  size_t hop_count() const { return hops_.size(); }
  size_t route_count() const { return route_count_; }

  // `flow_hash` chooses among equal routes.
  NextHopId Resolve(const IpAddress& destination, uint64_t flow_hash) const;

  // The interface by which packets to `destination` leave, the first if there are several; 0: none.
  int InterfaceTowards(const IpAddress& destination) const;

  // The address that packets of the host's own to `destination` have as their source; the unspecified one if
  // there is none.
  IpAddress SourceTowards(const IpAddress& destination) const;

  // The neighbours that packets to `destination` may be given to; none if the kernel keeps them.
  struct Neighbour {
    int interface = 0;
    IpAddress address;
    size_t Hash() const {
      const uint64_t mixed = IpAddressHash()(address) + static_cast<uint64_t>(interface);
      return static_cast<size_t>((mixed ^ mixed >> 29) * 0x9e3779b97f4a7c15u >> 20);
    }
    friend auto operator<=>(const Neighbour&, const Neighbour&) = default;
  };
  std::vector<Neighbour> NeighboursTowards(const IpAddress& destination) const;

  // Whether the host is in a VLAN, over a port of the data path.
  bool HasVlan(uint16_t port, uint16_t vlan) const {
    return std::binary_search(vlans_.begin(), vlans_.end(), std::pair(port, vlan));
  }

  std::vector<uint16_t> VlansOf(uint16_t port) const {
    std::vector<uint16_t> vlans;
    for (const auto& [of, vlan] : vlans_) {
      if (of == port) vlans.push_back(vlan);
    }
    return vlans;
  }

  const std::vector<IpAddress>& host_addresses() const { return host_addresses_; }

 private:
  friend class ForwardingBuilder;

  struct Leg {  // one way to leave: over an interface, by a gateway or straight to the destination
    int interface = 0;
    bool has_gateway = false;
    IpAddress gateway;
    uint32_t weight = 1;
    IpAddress source;  // unspecified: none is known
  };
  struct Route {
    NextHopId fixed = kNoRoute;  // used if there are no legs
    std::vector<Leg> legs;
    uint32_t total_weight = 0;
  };
  // Addresses from `first` to just before the next range's first have this route: the longest prefixes,
  // laid flat and sorted.
  struct Range {
    IpAddress first;
    uint32_t route = 0;
  };

  const Route& RouteTo(const IpAddress& destination) const;

  uint32_t generation_ = 0;
  size_t route_count_ = 0;
  std::vector<NextHop> hops_;
  std::vector<Route> routes_;                         // [0]: no route
  std::vector<Range> ranges_;                         // never empty; [0].first is below every address
  FlatTable<Neighbour> neighbours_;                   // their hops
  std::vector<IpAddress> host_addresses_;             // sorted
  std::vector<std::pair<uint16_t, uint16_t>> vlans_;  // port and id, sorted
};

}  // namespace sluice
