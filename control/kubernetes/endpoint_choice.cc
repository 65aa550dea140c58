// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/endpoint_choice.h"

#include <algorithm>
#include <map>

namespace sluice::kubernetes {
namespace {

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Claim>
std::vector<Endpoint> Those(const std::vector<Endpoint>& endpoints, Claim&& claim) {
  std::vector<Endpoint> chosen;
  std::copy_if(endpoints.begin(), endpoints.end(), std::back_inserter(chosen), claim);
  return chosen;
}

bool IsReady(const Endpoint& each) { return each.object->is_ready; }
bool IsLastResort(const Endpoint& each) { return each.object->is_serving && each.object->is_terminating; }

// Hints count if all endpoints have them and one is for us.
std::vector<Endpoint> Near(const std::vector<Endpoint>& ready, const std::string& name,
                           std::vector<std::string> EndpointObject::*hints) {
  if (name.empty()) return {};
  const bool all_have = std::all_of(ready.begin(), ready.end(),
                                    [&](const Endpoint& each) { return !(each.object->*hints).empty(); });
  if (!all_have) return {};
  return Those(ready, [&](const Endpoint& each) { return Has(each.object->*hints, name); });
}

}  // namespace

std::vector<Endpoint> EndpointsOf(std::span<const SliceObject* const> slices, const ServicePort& port,
                                  bool is_v6, const NodePolicy& policy) {
  std::map<std::pair<std::string, uint32_t>, Endpoint> found;
  for (const SliceObject* slice : slices) {
    if (!slice->has_addresses || slice->is_v6 != is_v6) continue;
    for (const EndpointPort& of_slice : slice->ports) {
      if (of_slice.name != port.name || of_slice.protocol != port.protocol) continue;
      for (const EndpointObject& object : slice->endpoints) {
        const std::optional<Address> address = ParseAddress(object.address);
        if (!address || address->is_v6 != is_v6) continue;
        const bool is_local = !policy.node_name.empty() && object.node == policy.node_name;
        const Endpoint endpoint{address->text, of_slice.port, &object, is_local, address->can_be_served};
        const auto [at, is_new] = found.emplace(std::pair(address->text, of_slice.port), endpoint);
        // While one moves from slice to slice both may have it: who is not terminating is right.
        if (!is_new && !object.is_terminating) at->second = endpoint;
      }
    }
  }
  std::vector<Endpoint> endpoints;
  for (auto& [name, endpoint] : found) endpoints.push_back(std::move(endpoint));
  return endpoints;
}

EndpointChoice Choose(const std::vector<Endpoint>& endpoints, const NodePolicy& policy) {
  EndpointChoice choice;
  const std::vector<Endpoint> ready = Those(endpoints, IsReady);
  choice.anywhere = Near(ready, policy.node_name, &EndpointObject::nodes);
  if (choice.anywhere.empty()) choice.anywhere = Near(ready, policy.zone, &EndpointObject::zones);
  if (choice.anywhere.empty()) choice.anywhere = ready;
  if (choice.anywhere.empty()) choice.anywhere = Those(endpoints, IsLastResort);
  const std::vector<Endpoint> local = Those(endpoints, [](const Endpoint& each) { return each.is_local; });
  choice.here = Those(local, IsReady);
  if (choice.here.empty()) choice.here = Those(local, IsLastResort);
  choice.any_usable = !choice.anywhere.empty();
  return choice;
}

}  // namespace sluice::kubernetes
