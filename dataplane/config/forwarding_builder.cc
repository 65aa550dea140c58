// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/forwarding_builder.h"

#include <algorithm>

namespace sluice {
namespace {

// A prefix among all addresses, and the index of its route.
struct Block {
  IpAddress first;
  IpAddress last;
  int length;
  uint32_t route;
};

Block BlockOf(const IpAddress& prefix, int length, uint32_t route) {
  Block block{prefix, prefix, length, route};
  const int offset = 128 - prefix.bits();
  for (int bit = offset + length; bit < 128; ++bit)
    block.last.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  return block;
}

// Returns false after the highest address of its family.
bool Increment(IpAddress& address) {
  const int offset = (128 - address.bits()) / 8;
  for (int byte = 15; byte >= offset; --byte) {
    if (++address.bytes[byte] != 0) return true;
  }
  return false;
}

bool Contains(const RouteSpec& route, const IpAddress& address) {
  return address.Prefix(route.prefix_length) == route.prefix;
}

// The routes of networks that the interfaces are in, which name the host's address there.
using Networks = std::map<int, std::vector<const RouteSpec*>>;

Networks NetworksOf(const ForwardingSpec& spec) {
  Networks networks;
  for (const RouteSpec& route : spec.routes) {
    if (route.source && route.legs.size() == 1 && !route.legs[0].gateway)
      networks[route.legs[0].interface].push_back(&route);
  }
  return networks;
}

// The host's own address on the way of a leg: in the gateway's network, or else any on the interface.
IpAddress SourceOn(const Networks& networks, const RouteLeg& leg) {
  const auto found = networks.find(leg.interface);
  if (found == networks.end()) return {};
  for (const RouteSpec* network : found->second) {
    if (leg.gateway && Contains(*network, *leg.gateway)) return *network->source;
  }
  return *found->second.front()->source;
}

bool SameLinks(const std::map<int, LinkSpec>& a, const std::map<int, LinkSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& left, const auto& right) {
    return left.first == right.first && left.second.up == right.second.up &&
           left.second.port == right.second.port && left.second.vlan == right.second.vlan;
  });
}

}  // namespace

std::shared_ptr<const Forwarding> ForwardingBuilder::Build(const ForwardingSpec& spec) {
  auto forwarding = std::make_shared<Forwarding>();
  const bool same_neighbours = AddNeighbours(spec, *forwarding);
  if (!same_neighbours || spec.routes != routes_ || !SameLinks(spec.links, links_)) ++generation_;
  forwarding->generation_ = generation_;
  AddRoutes(spec, *forwarding);
  forwarding->route_count_ = spec.routes.size();
  forwarding->host_addresses_ = spec.host_addresses;
  std::sort(forwarding->host_addresses_.begin(), forwarding->host_addresses_.end());
  for (const auto& [index, link] : spec.links) {
    if (link.up && link.port != kNoPort && link.vlan != 0)
      forwarding->vlans_.emplace_back(link.port, link.vlan);
  }
  std::sort(forwarding->vlans_.begin(), forwarding->vlans_.end());
  routes_ = spec.routes;
  links_ = spec.links;
  return forwarding;
}

// An id that becomes free may be given to another neighbour at once: that the old one has gone grows the
// generation.
bool ForwardingBuilder::AddNeighbours(const ForwardingSpec& spec, Forwarding& forwarding) {
  std::map<NeighbourName, NextHopId> ids;
  std::vector<NeighbourName> newcomers;
  std::vector<bool> taken;
  const auto usable_link = [&](int interface) -> const LinkSpec* {
    const auto link = spec.links.find(interface);
    return link == spec.links.end() || !link->second.up || link->second.port == kNoPort ? nullptr
                                                                                        : &link->second;
  };
  for (const auto& [name, mac] : spec.neighbours) {
    if (usable_link(name.first) == nullptr) continue;
    const auto known = ids_.find(name);
    if (known == ids_.end()) {
      newcomers.push_back(name);
      continue;
    }
    ids.insert(*known);
    if (taken.size() <= known->second) taken.resize(known->second + 1);
    taken[known->second] = true;
  }
  const bool same = newcomers.empty() && ids.size() == ids_.size();
  NextHopId next = kHost + 1;
  for (const NeighbourName& name : newcomers) {
    while (next < taken.size() && taken[next]) ++next;
    ids.emplace(name, next++);
  }
  for (const auto& [name, id] : ids) {
    const LinkSpec& link = *usable_link(name.first);
    if (forwarding.hops_.size() <= id) forwarding.hops_.resize(id + 1);
    forwarding.hops_[id] = {.destination = spec.neighbours.at(name),
                            .source = link.mac,
                            .port = link.port,
                            .vlan = link.vlan,
                            .mtu = link.mtu,
                            .kind = NextHopKind::kWire};
    forwarding.neighbours_.Set({name.first, name.second}, id);
  }
  ids_ = std::move(ids);
  return same;
}

void ForwardingBuilder::AddRoutes(const ForwardingSpec& spec, Forwarding& forwarding) {
  // No route, wherever none is named below; either family's addresses lie side by side.
  std::vector<Block> blocks = {BlockOf(IpAddress::Unspecified(AddressFamily::kIpv4), 0, 0),
                               BlockOf(IpAddress::Unspecified(AddressFamily::kIpv6), 0, 0)};
  const Networks networks = NetworksOf(spec);
  for (const RouteSpec& wanted : spec.routes) {
    Forwarding::Route route{.fixed = wanted.kind == RouteKind::kLocal ? kHost : kNoRoute};
    for (const RouteLeg& leg : wanted.legs) {
      const auto link = spec.links.find(leg.interface);
      if (wanted.kind != RouteKind::kUnicast || link == spec.links.end() || !link->second.up) continue;
      route.legs.push_back({leg.interface, leg.gateway.has_value(), leg.gateway.value_or(IpAddress{}),
                            leg.weight, wanted.source.value_or(SourceOn(networks, leg))});
      route.total_weight += leg.weight;
    }
    blocks.push_back(
        BlockOf(wanted.prefix, wanted.prefix_length, static_cast<uint32_t>(forwarding.routes_.size())));
    forwarding.routes_.push_back(std::move(route));
  }
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) {
    return a.first != b.first ? a.first < b.first : a.length < b.length;
  });

  std::vector<Forwarding::Range>& ranges = forwarding.ranges_;
  const auto begin_range = [&](const IpAddress& first, uint32_t route) {
    if (ranges.back().first == first) {
      ranges.back().route = route;
    } else if (ranges.back().route != route) {
      ranges.push_back({first, route});
    }
  };
  // Blocks nest or are apart: those that contain the present address are a stack.
  std::vector<Block> open;
  const auto close_last = [&] {
    IpAddress next = open.back().last;
    open.pop_back();
    if (Increment(next)) begin_range(next, open.empty() ? 0 : open.back().route);
  };
  for (const Block& block : blocks) {
    while (!open.empty() && open.back().last < block.first) close_last();
    begin_range(block.first, block.route);
    open.push_back(block);
  }
  while (!open.empty()) close_last();
}

}  // namespace sluice
