// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/book.h"

#include <algorithm>

namespace sluice::fuzz {
namespace {

bool IsIn(const Address& address, const IpAddress& prefix, int length) {
  return address.is_v6 == !prefix.IsV4() && address.Prefix(length) == Address::Of(prefix);
}

}  // namespace

void Book::Learn(const Snapshot& snapshot) {
  by_key_ = snapshot.services.All();
  for (const auto& service : by_key_) {
    for (const Candidate& candidate : service->candidates) services_[candidate.id] = service->spec.key;
  }
}

std::vector<Way> Book::WaysTo(const Address& target) const {
  const RouteSpec* best = nullptr;
  for (const RouteSpec& route : forwarding_.routes) {
    if (!IsIn(target, route.prefix, route.prefix_length)) continue;
    if (best == nullptr || route.prefix_length > best->prefix_length) best = &route;
  }
  std::vector<Way> ways;
  if (best == nullptr || best->kind != RouteKind::kUnicast) return ways;
  for (const RouteLeg& leg : best->legs) {
    const LinkSpec& link = forwarding_.links.at(leg.interface);
    const auto neighbour = forwarding_.neighbours.find({leg.interface, leg.gateway.value_or(target.ToIp())});
    if (!link.up || neighbour == forwarding_.neighbours.end()) continue;
    const std::optional<uint16_t> vlan = link.vlan == 0 ? std::nullopt : std::optional(link.vlan);
    ways.push_back({link.port, vlan, link.mac.bytes, neighbour->second.bytes, link.mtu});
  }
  return ways;
}

bool Book::HasVlan(uint16_t port, uint16_t vlan) const {
  for (const auto& [index, link] : forwarding_.links) {
    if (link.up && link.port == port && link.vlan == vlan) return true;
  }
  return false;
}

uint16_t Book::MtuOf(uint16_t port, std::optional<uint16_t> vlan) const {
  for (const auto& [index, link] : forwarding_.links) {
    if (link.up && link.port == port && link.vlan == vlan.value_or(0)) return link.mtu;
  }
  return 0;
}

bool Book::IsFor(const ServiceKey& key, const Names& names) const {
  const Address& address = names.destination;
  if (address.is_v6 == key.address.IsV4()) return false;
  if (!key.HasFwmark()) {
    const uint16_t port = key.port.ToHost();
    return Address::Of(key.address) == address && static_cast<uint8_t>(key.protocol) == names.protocol &&
           (port == names.destination_port || port == 0 || port == 21);
  }
  for (const FwmarkRule& rule : global_.fwmark_rules) {
    if (rule.protocol && static_cast<uint8_t>(*rule.protocol) != names.protocol) continue;
    if (names.destination_port < rule.first_port || names.destination_port > rule.last_port) continue;
    if (!IsIn(address, rule.prefix, rule.prefix_length)) continue;
    return rule.fwmark == key.fwmark;  // the first that matches counts
  }
  return false;
}

const ServiceKey* Book::ServiceOf(DestinationId id) const {
  const auto found = services_.find(id);
  return found == services_.end() ? nullptr : &found->second;
}

std::vector<Flow> Book::OnePacketFlows(const Names& names) const {
  std::vector<Flow> flows;
  const auto schedules_it = [&](const auto& service) {
    return service->one_packet && IsFor(service->spec.key, names);
  };
  if (names.protocol != kUdp || std::none_of(by_key_.begin(), by_key_.end(), schedules_it)) return flows;
  // As in the kernel, the FTP service and that of every port have templates in common.
  for (const auto& service : by_key_) {
    if (!IsFor(service->spec.key, names)) continue;
    for (const Candidate& candidate : service->candidates) {
      const DestinationSpec* spec = nullptr;
      for (const DestinationSpec& each : service->spec.destinations) {
        if (each.address == candidate.address && each.port == candidate.port) spec = &each;
      }
      if (spec == nullptr) continue;
      Flow flow{.from_client = names, .method = spec->method, .destination = candidate.id};
      const uint16_t port = spec->port == Be16{} ? names.destination_port : spec->port.ToHost();
      flow.to_server = {names.protocol, names.source, names.source_port, Address::Of(spec->address), port};
      flows.push_back(flow);
      // A persistent one keeps the port that the packet was sent to unless that is the service's own.
      flow.to_server.destination_port = names.destination_port;
      flows.push_back(flow);
    }
  }
  return flows;
}

}  // namespace sluice::fuzz
