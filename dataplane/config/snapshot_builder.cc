// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/snapshot_builder.h"

#include <algorithm>
#include <string>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

// As long as the kernel keeps an unused removed destination, statistics included.
constexpr std::chrono::seconds kTrashTime{120};

Endpoint EndpointOf(const ServiceKey& key, const IpAddress& address, Be16 port) {
  return {address, port, key.protocol};
}

}  // namespace

void SnapshotBuilder::Put(const ServiceSpec& spec) {
  Entry& entry = entries_[spec.key];
  const std::shared_ptr<const Service> before = entry.service;
  auto service = std::make_shared<Service>();
  service->spec = spec;
  if (before == nullptr) Retain(virtual_references_, EndpointRole::kVirtual, spec.key);

  std::unordered_map<Endpoint, const Candidate*, EndpointHash> known;
  if (before != nullptr) {
    for (const Candidate& candidate : before->candidates) {
      known.emplace(EndpointOf(spec.key, candidate.address, candidate.port), &candidate);
    }
  }
  service->candidates.reserve(spec.destinations.size());
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
      known.erase(found);
    } else {
      candidate.ordinal = entry.next_ordinal++;
      candidate.id = Adopt({spec.key, endpoint});
    }
    candidate.load = &destinations_.load(candidate.id);
    destinations_.SetThresholds(candidate.id, wanted.upper_threshold, wanted.lower_threshold);
    service->candidates.push_back(candidate);
  }
  for (const auto& [endpoint, candidate] : known) Remove({spec.key, endpoint}, candidate->id);

  // The kernel puts new destinations at the head of its list.
  std::sort(service->candidates.begin(), service->candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.ordinal > b.ordinal; });
  const SchedulerFactory factory = FindScheduler(spec.scheduler);
  SLUICE_CHECK(factory != nullptr);
  service->scheduler = factory({service->candidates, spec.flags});
  if (before != nullptr && before->spec.scheduler == spec.scheduler)
    service->scheduler->Inherit(*before->scheduler);
  entry.service = std::move(service);
  endpoints_.SetService(spec.key, entry.service.get());
}

void SnapshotBuilder::Delete(const ServiceKey& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  for (const Candidate& candidate : found->second.service->candidates) {
    Remove({key, EndpointOf(key, candidate.address, candidate.port)}, candidate.id);
  }
  endpoints_.SetService(key, nullptr);
  Release(virtual_references_, EndpointRole::kVirtual, key);
  entries_.erase(found);
}

const Service* SnapshotBuilder::Find(const ServiceKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.service.get();
}

std::shared_ptr<const Snapshot> SnapshotBuilder::Build() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->generation = ++generation_;
  snapshot->timeouts = timeouts_;
  snapshot->endpoints = endpoints_;
  snapshot->services.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) snapshot->services.push_back(entry.service);
  snapshot->endpoint_changes = std::move(endpoint_changes_);
  endpoint_changes_.clear();
  return snapshot;
}

void SnapshotBuilder::Published() {
  for (const DestinationId id : leaving_) destinations_.SetAvailable(id, false);
  leaving_.clear();
}

std::vector<SnapshotBuilder::Freed> SnapshotBuilder::EmptyTrash(Clock::time_point now) {
  std::vector<Freed> freed;
  for (auto at = trash_.begin(); at != trash_.end();) {
    auto& [name, removed] = *at;
    const bool referenced = destinations_.load(removed.id).Total() > 0;
    if (referenced) {
      removed.unreferenced_since.reset();
    } else if (!removed.unreferenced_since) {
      removed.unreferenced_since = now;
    } else if (now - *removed.unreferenced_since >= kTrashTime) {
      Release(virtual_references_, EndpointRole::kVirtual, name.first);
      Release(real_references_, EndpointRole::kRealServer, name.second);
      destinations_.Free(removed.id);
      freed.push_back({name.first, removed.id});
      at = trash_.erase(at);
      continue;
    }
    ++at;
  }
  return freed;
}

DestinationId SnapshotBuilder::Adopt(const DestinationName& name) {
  DestinationId id;
  if (const auto found = trash_.find(name); found != trash_.end()) {
    id = found->second.id;
    trash_.erase(found);
    std::erase(leaving_, id);
  } else {
    id = destinations_.Allocate();
    SLUICE_CHECK(id != kNoDestination);
    Retain(virtual_references_, EndpointRole::kVirtual, name.first);
    Retain(real_references_, EndpointRole::kRealServer, name.second);
  }
  destinations_.SetAvailable(id, true);
  return id;
}

void SnapshotBuilder::Remove(const DestinationName& name, DestinationId id) {
  trash_.emplace(name, Removed{.id = id});
  leaving_.push_back(id);
}

void SnapshotBuilder::Retain(References& references, EndpointRole role, const Endpoint& endpoint) {
  const uint32_t count = ++references[endpoint];
  if (role == EndpointRole::kRealServer) endpoints_.SetRealServer(endpoint, count);
  if (count == 1) endpoint_changes_.push_back({endpoint, role, true});
}

void SnapshotBuilder::Release(References& references, EndpointRole role, const Endpoint& endpoint) {
  const auto found = references.find(endpoint);
  SLUICE_CHECK(found != references.end());
  const uint32_t count = --found->second;
  if (role == EndpointRole::kRealServer) endpoints_.SetRealServer(endpoint, count);
  if (count != 0) return;
  references.erase(found);
  endpoint_changes_.push_back({endpoint, role, false});
}

}  // namespace sluice
