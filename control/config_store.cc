// SPDX-License-Identifier: Apache-2.0
#include "control/config_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "control/validate.h"
#include "dataplane/net/memory_room.h"

namespace sluice {
namespace {

// What an operator would want to be told, of services that came or changed.
void AddWarnings(const std::map<ServiceKey, std::optional<v1::Service>>& touched,
                 v1::ApplyResponse& response) {
  constexpr int kMost = 100;
  for (const auto& [key, service] : touched) {
    if (!service || response.warnings_size() == kMost) continue;
    const auto& servers = service->destinations();
    const bool all_drained = std::all_of(servers.begin(), servers.end(),
                                         [](const v1::Destination& server) { return server.weight() == 0; });
    if (!servers.empty() && all_drained) {
      response.add_warnings(absl::StrCat("service ", NameOf(key),
                                         ": every real server has weight 0: new connections are refused"));
    }
  }
}

}  // namespace

absl::StatusOr<v1::ApplyResponse> ConfigStore::Apply(const v1::ApplyRequest& request) {
  absl::StatusOr<v1::ApplyResponse> response;
  {
    const MutexLock lock(mutex_);
    response = Commit(request);
  }
  if (!response.ok() || request.dry_run()) return response;
  publisher_.WaitFor(response->generation());
  if (keeper_ == nullptr) return response;
  if (const absl::Status kept = keeper_->WaitFor(response->generation()); !kept.ok()) {
    response->add_warnings(absl::StrCat("it is in use, but will not survive a restart of sluiced: ",
                                        absl::string_view(kept.message())));
  }
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
  CheckRoom(change.added_destinations(), problems);
  CheckMemory(request.ByteSizeLong(), problems);
  if (problems.Any()) return problems.ToStatus();

  v1::ApplyResponse response;
  for (const std::string& line : change.changed()) response.add_changed(line);
  if (change.untold() > 0) response.add_changed(absl::StrCat("and ", change.untold(), " more"));
  response.set_generation(generation_);
  const std::map<ServiceKey, std::optional<v1::Service>> touched = change.Touched();
  for (const std::string& warning : change.warnings()) response.add_warnings(warning);
  AddWarnings(touched, response);
  if (request.dry_run() || (touched.empty() && !change.TouchesGlobal())) return response;

  Publisher::Change publication{.generation = ++generation_,
                                .added_destinations = change.added_destinations()};
  for (const auto& [key, service] : touched)
    publication.services.emplace(key, service ? std::optional(ToSpec(*service)) : std::nullopt);
  change.MoveInto(state_);
  if (change.TouchesGlobal()) publication.global = state_.Global();
  publisher_.Submit(std::move(publication));
  response.set_generation(generation_);
  v1::WatchConfigResponse news;
  *news.mutable_diff() = DiffOf(touched, change.TouchesGlobal());
  *news.mutable_changed() = response.changed();
  if (keeper_ != nullptr) keeper_->Submit(news.diff());
  history_.Add(std::move(news));
  return response;
}

absl::Status ConfigStore::Restore(const v1::ConfigDiff& kept) {
  // What belongs to nobody comes with the first.
  std::map<v1::Owner, v1::Config> by_owner;
  v1::Config& first = by_owner[v1::CLI];
  *first.mutable_timeouts() = kept.config().timeouts();
  *first.mutable_settings() = kept.config().settings();
  first.set_drained(kept.config().drained());
  for (const v1::Service& service : kept.config().services())
    *by_owner[service.owner()].add_services() = service;
  for (const v1::FwmarkRule& rule : kept.config().fwmark_rules())
    *by_owner[rule.owner()].add_fwmark_rules() = rule;
  for (const v1::LocalAddress& local : kept.config().local_addresses())
    *by_owner[local.owner()].add_local_addresses() = local;

  const MutexLock lock(mutex_);
  Problems problems;
  problems.ForgiveAbsentInterfaces();
  DesiredState restored;
  size_t destinations = 0;
  for (const auto& [owner, config] : by_owner) {
    StateChange change(restored, owner);
    v1::Change replace;
    *replace.mutable_replace_owned()->mutable_config() = config;
    change.Apply(replace, absl::StrCat("kept for ", v1::Owner_Name(owner)), problems);
    if (problems.Any()) return problems.ToStatus();
    destinations += change.added_destinations();
    change.MoveInto(restored);
  }
  CheckRoom(destinations, problems);
  if (problems.Any()) return problems.ToStatus();
  Publisher::Change publication{
      .generation = kept.generation(), .global = restored.Global(), .added_destinations = destinations};
  for (const auto& [key, service] : restored.services) publication.services.emplace(key, ToSpec(service));
  state_ = std::move(restored);
  generation_ = kept.generation();
  publisher_.Submit(std::move(publication));
  return absl::OkStatus();
}

void ConfigStore::KeepIn(std::unique_ptr<StateFile> file) {
  keeper_ = std::make_unique<StateKeeper>(std::move(file), [this] { return Whole(); });
}

void ConfigStore::CheckRoom(size_t destinations, Problems& problems) {
  if (problems.Any() || publisher_.HasRoomFor(destinations)) return;
  problems.Add(v1::TABLE_FULL, "changes",
               absl::StrCat(destinations, " more real servers: Sluice has room for ", kMaxDestinations,
                            ", those removed in the last minutes included"));
}

// A change is refused before it takes memory that is not there: an allocation that fails would end the
// process, and with it what is forwarded.
void ConfigStore::CheckMemory(size_t request_bytes, Problems& problems) {
  // Memory for a byte on the wire, measured with services of 10 and 100 real servers: the request and its
  // copies, the configuration before and after it, and the XDP program's maps.
  constexpr uint64_t kBytesForOne = 64;
  constexpr uint64_t kSmallChange = 1 << 20;  // not worth the question
  const uint64_t needed = request_bytes * kBytesForOne;
  if (problems.Any() || (needed < kSmallChange && MemoryReserve::IsHeld())) return;
  const MemoryRoom room = RoomForMemory();
  if (needed <= room.bytes / 10 * 9 && MemoryReserve::IsHeld()) return;
  problems.Add(v1::TABLE_FULL, "changes",
               absl::StrCat("the change takes about ", (needed >> 20) + 1, " MB, and ", room.limit,
                            " leaves ", room.bytes >> 20, ": allow more, or make it smaller"));
}

v1::GetConfigResponse ConfigStore::Config() const {
  const MutexLock lock(mutex_);
  v1::GetConfigResponse response;
  *response.mutable_config() = state_.ToMessage();
  response.set_generation(generation_);
  return response;
}

v1::ConfigDiff ConfigStore::Whole() const {
  const MutexLock lock(mutex_);
  v1::ConfigDiff record;
  record.set_generation(generation_);
  *record.mutable_config() = state_.ToMessage();
  record.set_has_global(true);
  return record;
}

v1::ConfigDiff ConfigStore::DiffOf(const std::map<ServiceKey, std::optional<v1::Service>>& touched,
                                   bool global) const {
  v1::ConfigDiff record;
  record.set_generation(generation_);
  record.set_has_global(global);
  if (global) *record.mutable_config() = state_.GlobalMessage();
  for (const auto& [key, service] : touched) {
    if (service) {
      *record.mutable_config()->add_services() = *service;
    } else {
      *record.add_deleted_services() = ToMessage(key);
    }
  }
  return record;
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

bool ConfigStore::drained() const {
  const MutexLock lock(mutex_);
  return state_.drained;
}

std::vector<ConfigHistory::Entry> ConfigStore::NewsAfter(std::optional<uint64_t> generation,
                                                         std::chrono::steady_clock::time_point end) {
  ConfigHistory::News news;
  if (generation) news = history_.After(*generation, end);
  // A generation that never was is of an earlier life.
  if (!news.known || *generation > this->generation()) {
    v1::WatchConfigResponse whole;
    *whole.mutable_diff() = Whole();
    whole.set_whole(true);
    news.changes = {std::make_shared<const v1::WatchConfigResponse>(std::move(whole))};
  }
  if (!news.changes.empty()) publisher_.WaitFor(news.changes.back()->diff().generation());
  return std::move(news.changes);
}

absl::StatusOr<std::vector<bool>> ConfigStore::MembersOf(const v1::ServiceKey& service,
                                                         const std::string& field) const {
  Problems problems;
  const std::optional<ServiceKey> key = ValidateKey(service, field, problems);
  if (problems.Any()) return problems.ToStatus();
  std::optional<std::vector<bool>> members = publisher_.MembersOf(*key);
  if (members) return *std::move(members);
  problems.Add(v1::SERVICE_NOT_FOUND, field, absl::StrCat("there is no service ", NameOf(*key)));
  return problems.ToStatus();
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
  if (!wanted) {
    AddStatuses(*view.snapshot, response);
    return response;
  }
  const MutexLock lock(mutex_);
  if (const auto found = state_.services.find(*wanted); found != state_.services.end()) {
    *response.add_services() = StatusOf(found->second, *wanted, *view.snapshot);
  } else {
    problems.Add(v1::SERVICE_NOT_FOUND, "key", absl::StrCat("there is no service ", NameOf(*wanted)));
    return problems.ToStatus();
  }
  return response;
}

// Changes need not wait for all of a long list: some services at a time.
void ConfigStore::AddStatuses(const Snapshot& snapshot, v1::ListServicesResponse& response) const {
  constexpr int kAtOnce = 100;
  std::optional<ServiceKey> last;
  for (bool more = true; more;) {
    const MutexLock lock(mutex_);
    auto at = last ? state_.services.upper_bound(*last) : state_.services.begin();
    for (int i = 0; i < kAtOnce && at != state_.services.end(); ++i, ++at) {
      *response.add_services() = StatusOf(at->second, at->first, snapshot);
      last = at->first;
    }
    more = at != state_.services.end();
  }
}

absl::Status ConfigStore::ZeroStatistics(const v1::ZeroStatisticsRequest& request) {
  if (!request.has_key()) return publisher_.ZeroAllStatistics(), absl::OkStatus();
  Problems problems;
  const std::optional<ServiceKey> key = ValidateKey(request.key(), "key", problems);
  if (key && !publisher_.ZeroStatistics(*key))
    problems.Add(v1::SERVICE_NOT_FOUND, "key", absl::StrCat("there is no service ", NameOf(*key)));
  return problems.ToStatus();
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
