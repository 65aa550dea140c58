// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/forwarding.h"

#include <algorithm>

namespace sluice {

Forwarding::Forwarding()
    : hops_{NextHop{.kind = NextHopKind::kNoRoute}, NextHop{.kind = NextHopKind::kKernel},
            NextHop{.kind = NextHopKind::kHost}},
      routes_(1),
      ranges_(1) {}

const Forwarding::Route& Forwarding::RouteTo(const IpAddress& destination) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), destination,
                       [](const IpAddress& address, const Range& range) { return address < range.first; });
  return routes_[std::prev(after)->route];
}

NextHopId Forwarding::Resolve(const IpAddress& destination, uint64_t flow_hash) const {
  const Route& route = RouteTo(destination);
  if (route.legs.empty()) return route.fixed;
  const Leg* leg = &route.legs.front();
  if (route.legs.size() > 1) {
    uint64_t share = (flow_hash >> 32) * route.total_weight >> 32;
    while (share >= leg->weight) share -= leg++->weight;
  }
  const uint64_t known = neighbours_.Find({leg->interface, leg->has_gateway ? leg->gateway : destination});
  return known == 0 ? kAskKernel : static_cast<NextHopId>(known);
}

int Forwarding::InterfaceTowards(const IpAddress& destination) const {
  const Route& route = RouteTo(destination);
  return route.legs.empty() ? 0 : route.legs.front().interface;
}

IpAddress Forwarding::SourceTowards(const IpAddress& destination) const {
  const Route& route = RouteTo(destination);
  return route.legs.empty() ? IpAddress{} : route.legs.front().source;
}

std::vector<Forwarding::Neighbour> Forwarding::NeighboursTowards(const IpAddress& destination) const {
  std::vector<Neighbour> neighbours;
  for (const Leg& leg : RouteTo(destination).legs)
    neighbours.push_back({leg.interface, leg.has_gateway ? leg.gateway : destination});
  return neighbours;
}

}  // namespace sluice
