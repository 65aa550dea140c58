// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/snapshot_builder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

// As long as the kernel keeps an unused removed destination, statistics included.
constexpr std::chrono::seconds kTrashTime{120};

Endpoint EndpointOf(const ServiceKey& key, const IpAddress& address, Be16 port) {
  return {address, port, key.protocol};
}

// Which packets to steer to Sluice for a service: those to its port, and fragments, which have none. Those of
// a mark are told by its rules.
std::vector<Endpoint> VirtualEndpoints(const ServiceKey& key) {
  if (key.HasFwmark()) return {};
  const Endpoint fragments{key.address, Be16{}, kAnyProtocol};
  if (key.port != kFtpPort || key.protocol != Protocol::kTcp) return {key, fragments};
  return {key, {key.address, Be16{}, key.protocol}, fragments};
}

// Which packets of a real server may be replies. It may be asked on any port if the service has many, or if
// it has none of its own.
std::vector<Endpoint> RealEndpoints(const ServiceKey& key, const Endpoint& server) {
  if (key.HasFwmark()) {
    return {{server.address, Be16{}, Protocol::kTcp},
            {server.address, Be16{}, Protocol::kUdp},
            {server.address, Be16{}, Protocol::kSctp},
            {server.address, Be16{}, kAnyProtocol}};
  }
  const bool many_ports = key.port == Be16{} || key.port == kFtpPort;
  const Be16 port = many_ports ? Be16{} : server.port == Be16{} ? key.port : server.port;
  return {{server.address, port, server.protocol}, {server.address, Be16{}, kAnyProtocol}};
}

// A mark says nothing about the protocol.
std::vector<Protocol> ProtocolsOf(const ServiceKey& key) {
  if (key.HasFwmark()) return {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp};
  return {key.protocol};
}

uint32_t ExpirationOf(const ServiceSpec& spec, const Settings& settings) {
  return spec.scheduler == "lblcr" ? settings.lblcr_expiration : settings.lblc_expiration;
}

}  // namespace

void SnapshotBuilder::SetGlobal(const GlobalSpec& global) {
  const bool expire_now = global.settings.expire_nodest_conn && !global_.settings.expire_nodest_conn;
  const bool sources_change = global.local_addresses != global_.local_addresses;
  global_ = global;
  for (auto& [key, entry] : entries_) {
    if (sources_change && !entry.service->local_sources.empty() &&
        entry.service->spec.local_addresses.empty())
      Put(ServiceSpec(entry.service->spec));
  }
  if (expire_now) destinations_.RequestSweep();
}

void SnapshotBuilder::Put(const ServiceSpec& spec) {
  Entry& entry = entries_[spec.key];
  const std::shared_ptr<const Service> before = entry.service;
  auto service = std::make_shared<Service>(spec);
  if (before == nullptr) {
    for (const Endpoint& endpoint : VirtualEndpoints(spec.key))
      Retain(virtual_references_, EndpointRole::kVirtual, endpoint);
  }

  std::unordered_map<Endpoint, const Candidate*, EndpointHash> known;
  if (before != nullptr) {
    for (const Candidate& candidate : before->candidates) {
      known.emplace(EndpointOf(spec.key, candidate.address, candidate.port), &candidate);
    }
  }
  service->candidates.reserve(spec.destinations.size());
  size_t kept = 0;
  DestinationId newest =
      before == nullptr || before->candidates.empty() ? kNoDestination : before->candidates[0].id;
  for (const DestinationSpec& wanted : spec.destinations) {
    const Endpoint endpoint = EndpointOf(spec.key, wanted.address, wanted.port);
    Candidate candidate{.address = wanted.address,
                        .port = wanted.port,
                        .weight = wanted.weight,
                        .last_weight = wanted.weight};
    if (const auto found = known.find(endpoint); found != known.end()) {
      candidate.ordinal = found->second->ordinal;
      candidate.id = found->second->id;
      if (wanted.weight == 0) candidate.last_weight = found->second->last_weight;
      ++kept;
      known.erase(found);
    } else {
      candidate.ordinal = entry.next_ordinal++;
      candidate.id = newest = Adopt({spec.key, endpoint}, newest);
    }
    destinations_.Attach(candidate);
    Configure(spec, wanted, candidate.id);
    service->candidates.push_back(candidate);
  }
  for (const auto& [endpoint, candidate] : known)
    Remove({spec.key, endpoint}, candidate->id, spec.drain_seconds);

  // The kernel puts new destinations at the head of its list.
  std::sort(service->candidates.begin(), service->candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.ordinal > b.ordinal; });
  const SchedulerFactory factory = FindScheduler(spec.scheduler);
  SLUICE_CHECK(factory != nullptr);
  service->scheduler =
      factory({.candidates = service->candidates,
               .flags = spec.flags,
               .present_before = kept,
               .expiration_seconds = ExpirationOf(spec, global_.settings),
               .virtual_addresses = spec.key.HasFwmark() ? SchedulerSetup::kAnyAddresses : 1});
  if (service->scheduler->WatchesLoads()) {
    for (const Candidate& candidate : service->candidates) destinations_.Watch(candidate.id);
  }
  if (before != nullptr && before->spec.scheduler == spec.scheduler)
    service->scheduler->Inherit(*before->scheduler);
  if (before != nullptr && before->spec.sources == spec.sources) {
    service->sources = before->sources;
  } else if (spec.sources.Any()) {
    service->sources = std::make_shared<SourceFilter>(spec.sources);
  }
  // First the new, so that pools which stay are not made anew.
  const std::vector<PortPoolKey> pools_before = std::exchange(entry.port_pools, AddLocalSources(*service));
  for (const PortPoolKey& key : pools_before) port_pools_.Release(key);
  CountGuePorts(*service, 1);
  if (before != nullptr) CountGuePorts(*before, -1);
  entry.service = std::move(service);
  services_.Put(entry.service);
  if (before == nullptr) {
    ipv6_services_ += !spec.key.address.IsV4();
    if (spec.key.HasFwmark()) fwmarks_.insert(spec.key);
  }
  if (!spec.key.HasFwmark()) endpoints_.SetService(spec.key, entry.service.get());
}

void SnapshotBuilder::Configure(const ServiceSpec& spec, const DestinationSpec& wanted, DestinationId id) {
  if (spec.timeouts) destinations_.SetTimeouts(id, *spec.timeouts);
  const uint8_t traits =
      static_cast<uint8_t>((wanted.weight == 0 ? kQuiesced : 0) | (spec.timeouts ? kOwnTimeouts : 0) |
                           (spec.persistence.strict ? kStrictPersistence : 0));
  destinations_.SetTraits(id, traits, kQuiesced | kOwnTimeouts | kStrictPersistence);
  destinations_.SetWay(id, {.method = wanted.method, .tunnel = wanted.tunnel});
  destinations_.SetThresholds(id, wanted.upper_threshold, wanted.lower_threshold);
  if (wanted.weight == 0 && spec.drain_seconds > 0) {
    StartDrain(id, spec.drain_seconds);
  } else {
    StopDrain(id);
  }
}

void SnapshotBuilder::Delete(const ServiceKey& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  for (const Candidate& candidate : found->second.service->candidates) {
    Remove({key, EndpointOf(key, candidate.address, candidate.port)}, candidate.id,
           found->second.service->spec.drain_seconds);
  }
  CountGuePorts(*found->second.service, -1);
  for (const PortPoolKey& pool : found->second.port_pools) port_pools_.Release(pool);
  if (!key.HasFwmark()) endpoints_.SetService(key, nullptr);
  for (const Endpoint& endpoint : VirtualEndpoints(key))
    Release(virtual_references_, EndpointRole::kVirtual, endpoint);
  services_.Remove(key);
  fwmarks_.erase(key);
  ipv6_services_ -= !key.address.IsV4();
  entries_.erase(found);
}

const Service* SnapshotBuilder::Find(const ServiceKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.service.get();
}

std::shared_ptr<const Snapshot> SnapshotBuilder::Build() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->generation = ++generation_;
  snapshot->timeouts = global_.timeouts;
  snapshot->settings = global_.settings;
  snapshot->endpoints = endpoints_.Share();
  snapshot->services = services_.Share();
  snapshot->has_ipv6 = ipv6_services_ > 0;
  snapshot->endpoint_changes = std::move(endpoint_changes_);
  endpoint_changes_.clear();
  BuildFwmarks(*snapshot);
  for (const auto& [port, uses] : gue_ports_) {
    if (uses > 0) snapshot->gue_ports.push_back(Be16::FromHost(port));
  }
  snapshot->port_pools = port_pools_.Index();
  snapshot->local_addresses = port_pools_.Addresses();
  return snapshot;
}

void SnapshotBuilder::CountGuePorts(const Service& service, int by) {
  for (const DestinationSpec& destination : service.spec.destinations) {
    const bool is_gue =
        destination.method == ForwardingMethod::kTunnel && destination.tunnel.type == TunnelType::kGue;
    if (is_gue) gue_ports_[destination.tunnel.port.ToHost()] += by;
  }
}

// Returns the pools that the service has from now on.
std::vector<PortPoolKey> SnapshotBuilder::AddLocalSources(Service& service) {
  const ServiceSpec& spec = service.spec;
  std::vector<PortPoolKey> keys;
  for (const DestinationSpec& wanted : spec.destinations) {
    if (wanted.method != ForwardingMethod::kFullNat) continue;
    const Endpoint endpoint = EndpointOf(spec.key, wanted.address, wanted.port);
    const bool has_several_ports = spec.key.port == Be16{} || spec.key.port == kFtpPort;
    const bool to_any_port = wanted.port == Be16{} || (service.is_persistent && has_several_ports);
    const auto candidate = std::find_if(
        service.candidates.begin(), service.candidates.end(),
        [&](const Candidate& each) { return each.address == wanted.address && each.port == wanted.port; });
    std::vector<LocalSource>& sources = service.local_sources[candidate->id];
    for (const LocalAddress& local :
         spec.local_addresses.empty() ? global_.local_addresses : spec.local_addresses) {
      if (local.address.IsV4() != wanted.address.IsV4()) continue;
      for (const Protocol protocol : ProtocolsOf(spec.key)) {
        const PortPoolKey key = {local.address, {endpoint.address, endpoint.port, protocol}};
        sources.push_back({local.address, local.interface, protocol, port_pools_.Retain(key, to_any_port)});
        keys.push_back(key);
      }
    }
  }
  return keys;
}

// Only rules whose mark has a service count: with another mark a packet is as good as unmarked.
void SnapshotBuilder::BuildFwmarks(Snapshot& snapshot) {
  std::vector<FwmarkRule> rules;
  std::set<Prefix> prefixes;
  for (const ServiceKey& key : fwmarks_)
    snapshot.by_fwmark.emplace(Snapshot::FwmarkName(key.fwmark, key.address), services_.Find(key));
  if (!snapshot.by_fwmark.empty()) rules = global_.fwmark_rules;
  for (const FwmarkRule& rule : rules) {
    if (snapshot.by_fwmark.contains(Snapshot::FwmarkName(rule.fwmark, rule.prefix)))
      prefixes.emplace(rule.prefix, rule.prefix_length);
  }
  if (rules != classified_) {
    classified_ = rules;
    classifier_ = rules.empty() ? nullptr : std::make_shared<FwmarkClassifier>(rules);
  }
  snapshot.classifier = classifier_;
  for (const Prefix& prefix : prefixes) {
    if (!prefixes_.contains(prefix)) snapshot.prefix_changes.push_back({prefix.first, prefix.second, true});
  }
  for (const Prefix& prefix : prefixes_) {
    if (!prefixes.contains(prefix)) snapshot.prefix_changes.push_back({prefix.first, prefix.second, false});
  }
  prefixes_ = std::move(prefixes);
}

void SnapshotBuilder::Published() {
  for (const DestinationId id : leaving_) destinations_.SetTraits(id, 0, kAvailable);
  if (!leaving_.empty() && global_.settings.expire_nodest_conn) destinations_.RequestSweep();
  leaving_.clear();
}

std::vector<SnapshotBuilder::Freed> SnapshotBuilder::EmptyTrash(Clock::time_point now) {
  std::vector<Freed> freed;
  for (auto at = trash_.begin(); at != trash_.end();) {
    auto& [name, removed] = *at;
    const DestinationLoad& load = destinations_.load(removed.id);
    const bool referenced = load.Total() > 0 || load.persistent.load(std::memory_order_relaxed) > 0;
    if (referenced) {
      removed.unreferenced_since.reset();
    } else if (!removed.unreferenced_since) {
      removed.unreferenced_since = now;
    } else if (now - *removed.unreferenced_since >= kTrashTime) {
      ReleaseAll(name);
      StopDrain(removed.id);
      destinations_.Free(removed.id);
      freed.push_back({name.first, removed.id});
      at = trash_.erase(at);
      continue;
    }
    ++at;
  }
  return freed;
}

void SnapshotBuilder::EndDrains(Clock::time_point now) {
  bool any = false;
  for (auto at = drains_.begin(); at != drains_.end();) {
    auto& [id, drain] = *at;
    if (!drain.since) drain.since = now;
    if (now - *drain.since < drain.limit) {
      ++at;
      continue;
    }
    destinations_.SetTraits(id, kDrainOver, 0);
    any = true;
    at = drains_.erase(at);
  }
  if (any) destinations_.RequestSweep();
}

void SnapshotBuilder::StartDrain(DestinationId id, uint32_t seconds) {
  if (destinations_.traits(id) & kDrainOver) return;
  drains_[id].limit = std::chrono::seconds(seconds);
}

void SnapshotBuilder::StopDrain(DestinationId id) {
  drains_.erase(id);
  destinations_.SetTraits(id, 0, kDrainOver);
}

DestinationId SnapshotBuilder::Adopt(const DestinationName& name, DestinationId newest) {
  DestinationId id;
  if (const auto found = trash_.find(name); found != trash_.end()) {
    id = found->second.id;
    trash_.erase(found);
    std::erase(leaving_, id);
  } else {
    id = destinations_.Allocate(newest);
    SLUICE_CHECK(id != kNoDestination);
    destinations_.SetEndpoint(id, name.second, name.first);
    RetainAll(name);
  }
  destinations_.SetTraits(id, kAvailable, 0);
  return id;
}

void SnapshotBuilder::Remove(const DestinationName& name, DestinationId id, uint32_t drain_seconds) {
  trash_.emplace(name, Removed{.id = id});
  leaving_.push_back(id);
  if (drain_seconds > 0) StartDrain(id, drain_seconds);
}

void SnapshotBuilder::RetainAll(const DestinationName& name) {
  for (const Endpoint& endpoint : VirtualEndpoints(name.first))
    Retain(virtual_references_, EndpointRole::kVirtual, endpoint);
  for (const Endpoint& endpoint : RealEndpoints(name.first, name.second))
    Retain(real_references_, EndpointRole::kRealServer, endpoint);
}

void SnapshotBuilder::ReleaseAll(const DestinationName& name) {
  for (const Endpoint& endpoint : VirtualEndpoints(name.first))
    Release(virtual_references_, EndpointRole::kVirtual, endpoint);
  for (const Endpoint& endpoint : RealEndpoints(name.first, name.second))
    Release(real_references_, EndpointRole::kRealServer, endpoint);
}

// Workers need not know that a real server has any endpoint at all.
void SnapshotBuilder::Index(EndpointRole role, const Endpoint& endpoint, uint32_t count) {
  const bool is_address = endpoint.protocol == kAnyProtocol;
  if (role == EndpointRole::kRealServer && !is_address) endpoints_.SetRealServer(endpoint, count);
  if (role == EndpointRole::kVirtual && is_address) endpoints_.SetVirtualAddress(endpoint.address, count);
}

void SnapshotBuilder::Retain(References& references, EndpointRole role, const Endpoint& endpoint) {
  const uint32_t count = ++references[endpoint];
  Index(role, endpoint, count);
  if (count == 1) endpoint_changes_.push_back({endpoint, role, true});
}

void SnapshotBuilder::Release(References& references, EndpointRole role, const Endpoint& endpoint) {
  const auto found = references.find(endpoint);
  SLUICE_CHECK(found != references.end());
  const uint32_t count = --found->second;
  Index(role, endpoint, count);
  if (count != 0) return;
  references.erase(found);
  endpoint_changes_.push_back({endpoint, role, false});
}

}  // namespace sluice
