// SPDX-License-Identifier: Apache-2.0
#include "control/config_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "control/validate.h"

namespace sluice {

absl::StatusOr<v1::ApplyResponse> ConfigStore::Apply(const v1::ApplyRequest& request) {
  absl::StatusOr<v1::ApplyResponse> response;
  {
    const MutexLock lock(mutex_);
    response = Commit(request);
  }
  if (response.ok() && !request.dry_run()) publisher_.WaitFor(response->generation());
  return response;
}

absl::StatusOr<v1::ApplyResponse> ConfigStore::Commit(const v1::ApplyRequest& request) {
  Problems problems;
  if (request.expected_generation() != 0 && request.expected_generation() != generation_) {
    problems.Add(
        v1::GENERATION_MISMATCH, "expected_generation",
        absl::StrCat(request.expected_generation(), ": the configuration is at generation ", generation_));
    return problems.ToStatus();
  }
  StateChange change(state_, request.owner() == v1::OWNER_UNSPECIFIED ? v1::CLI : request.owner());
  for (int i = 0; i < request.changes_size(); ++i)
    change.Apply(request.changes(i), absl::StrCat("changes[", i, "]"), problems);
  if (!problems.Any() && !publisher_.HasRoomFor(change.added_destinations())) {
    problems.Add(v1::TABLE_FULL, "changes",
                 absl::StrCat(change.added_destinations(), " more real servers: Sluice has room for ",
                              kMaxDestinations, ", those removed in the last minutes included"));
  }
  if (problems.Any()) return problems.ToStatus();

  v1::ApplyResponse response;
  for (const std::string& line : change.changed()) response.add_changed(line);
  if (change.untold() > 0) response.add_changed(absl::StrCat("and ", change.untold(), " more"));
  response.set_generation(generation_);
  const std::map<ServiceKey, std::optional<v1::Service>> touched = change.Touched();
  if (request.dry_run() || (touched.empty() && !change.TouchesGlobal())) return response;

  Publisher::Change publication{.generation = ++generation_,
                                .added_destinations = change.added_destinations()};
  for (const auto& [key, service] : touched) {
    if (service) {
      publication.services.emplace(key, ToSpec(*service));
      state_.services[key] = *service;
    } else {
      publication.services.emplace(key, std::nullopt);
      state_.services.erase(key);
    }
  }
  state_.timeouts = change.timeouts();
  state_.settings = change.settings();
  state_.fwmark_rules = change.fwmark_rules();
  state_.local_addresses = change.local_addresses();
  if (change.TouchesGlobal()) publication.global = state_.Global();
  publisher_.Submit(std::move(publication));
  response.set_generation(generation_);
  return response;
}

v1::GetConfigResponse ConfigStore::Config() const {
  const MutexLock lock(mutex_);
  v1::GetConfigResponse response;
  for (const auto& [key, service] : state_.services) *response.mutable_config()->add_services() = service;
  *response.mutable_config()->mutable_timeouts() = ToMessage(state_.timeouts);
  *response.mutable_config()->mutable_settings() = ToMessage(state_.settings);
  for (const v1::FwmarkRule& rule : state_.fwmark_rules)
    *response.mutable_config()->add_fwmark_rules() = rule;
  for (const v1::LocalAddress& local : state_.local_addresses)
    *response.mutable_config()->add_local_addresses() = local;
  response.set_generation(generation_);
  return response;
}

std::vector<v1::LocalAddressInfo> ConfigStore::LocalAddresses() const {
  const std::shared_ptr<const Snapshot> snapshot = publisher_.Current().snapshot;
  std::map<IpAddress, v1::LocalAddressInfo> by_address;
  if (snapshot->port_pools == nullptr) return {};
  for (const auto& [key, pool] : *snapshot->port_pools) {
    const auto [place, is_new] = by_address.try_emplace(key.local);
    v1::LocalAddressInfo& info = place->second;
    const uint32_t taken = pool->taken();
    const uint32_t free = LocalPorts::kCount - taken;
    info.set_ports_taken(info.ports_taken() + taken);
    if (!is_new && free >= info.fewest_free()) continue;
    info.set_address(key.local.ToString());
    info.set_fewest_free(free);
    info.set_fewest_free_towards(
        absl::StrCat(v1::Protocol_Name(static_cast<int>(key.server.protocol)), " ", key.server.ToString()));
  }
  std::vector<v1::LocalAddressInfo> infos;
  for (auto& [address, info] : by_address) infos.push_back(std::move(info));
  return infos;
}

uint64_t ConfigStore::generation() const {
  const MutexLock lock(mutex_);
  return generation_;
}

absl::StatusOr<v1::ListServicesResponse> ConfigStore::ListServices(
    const v1::ListServicesRequest& request) const {
  Problems problems;
  std::optional<ServiceKey> wanted;
  if (request.has_key()) wanted = ValidateKey(request.key(), "key", problems);
  if (problems.Any()) return problems.ToStatus();
  const Publisher::View view = publisher_.Current();
  v1::ListServicesResponse response;
  response.set_generation(view.generation);
  *response.mutable_total_rates() = ToRates(publisher_.TotalRates());
  const MutexLock lock(mutex_);
  if (!wanted) {
    for (const auto& [key, service] : state_.services)
      *response.add_services() = StatusOf(service, key, *view.snapshot);
  } else if (const auto found = state_.services.find(*wanted); found != state_.services.end()) {
    *response.add_services() = StatusOf(found->second, *wanted, *view.snapshot);
  } else {
    problems.Add(v1::SERVICE_NOT_FOUND, "key", absl::StrCat("there is no service ", NameOf(*wanted)));
    return problems.ToStatus();
  }
  return response;
}

v1::ServiceStatus ConfigStore::StatusOf(const v1::Service& service, const ServiceKey& key,
                                        const Snapshot& snapshot) const {
  v1::ServiceStatus status;
  *status.mutable_service() = service;
  status.mutable_service()->clear_destinations();
  *status.mutable_statistics() = ToMessage(publisher_.StatisticsOf(key));
  *status.mutable_rates() = ToRates(publisher_.RatesOf(key));
  const Service* published = snapshot.services.Find(key);
  for (int i = service.destinations_size() - 1; i >= 0; --i) {
    v1::DestinationStatus& destination = *status.add_destinations();
    *destination.mutable_destination() = service.destinations(i);
    if (published == nullptr) continue;
    const Endpoint endpoint =
        ToEndpoint(service.destinations(i).address(), service.destinations(i).port(), key.protocol);
    for (const Candidate& candidate : published->candidates) {
      if (candidate.address != endpoint.address || candidate.port != endpoint.port) continue;
      const int32_t active = candidate.load->Active();
      destination.set_active_connections(static_cast<uint32_t>(std::max(active, 0)));
      destination.set_inactive_connections(
          static_cast<uint32_t>(std::max(candidate.load->Total() - active, 0)));
      destination.set_persistent_connections(
          static_cast<uint32_t>(std::max(candidate.load->persistent.load(std::memory_order_relaxed), 0)));
      *destination.mutable_statistics() = ToMessage(publisher_.StatisticsOf(candidate.id));
      *destination.mutable_rates() = ToRates(publisher_.RatesOf(candidate.id));
      break;
    }
  }
  return status;
}

}  // namespace sluice
