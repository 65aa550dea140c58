// SPDX-License-Identifier: Apache-2.0
#include "control/desired_state.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "control/validate.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr char kDefaultScheduler[] = "wlc";

std::string OwnerName(v1::Owner owner) { return absl::AsciiStrToLower(v1::Owner_Name(owner)); }

// The start-up file is read once; afterwards its services are the operator's. Feeds that go on writing keep
// theirs.
bool MayChange(v1::Owner who, v1::Owner owner) {
  return who == owner || (who == v1::CLI && owner == v1::FILE);
}

Endpoint EndpointOf(const ServiceKey& key, const v1::Destination& destination) {
  return ToEndpoint(destination.address(), destination.port(), key.protocol);
}

v1::Destination Canonical(const v1::Destination& destination, const Endpoint& endpoint) {
  v1::Destination result = destination;
  result.set_address(endpoint.address.ToString());
  result.set_weight(destination.has_weight() ? destination.weight() : 1);
  if (result.method() == v1::FORWARDING_METHOD_UNSPECIFIED) result.set_method(v1::DR);
  return result;
}

std::string ServerText(const Endpoint& endpoint, const ServiceKey& key) {
  return absl::StrCat("server ", endpoint.ToString(), " of ", NameOf(key));
}

}  // namespace

GlobalSpec DesiredState::Global() const {
  GlobalSpec global{.timeouts = timeouts, .settings = settings};
  for (const v1::FwmarkRule& rule : fwmark_rules) global.fwmark_rules.push_back(ToSpec(rule));
  for (const v1::LocalAddress& local : local_addresses) global.local_addresses.push_back(ToSpec(local));
  return global;
}

v1::Config DesiredState::GlobalMessage() const {
  v1::Config config;
  *config.mutable_timeouts() = sluice::ToMessage(timeouts);
  *config.mutable_settings() = sluice::ToMessage(settings);
  config.mutable_fwmark_rules()->Add(fwmark_rules.begin(), fwmark_rules.end());
  config.mutable_local_addresses()->Add(local_addresses.begin(), local_addresses.end());
  config.set_drained(drained);
  return config;
}

v1::Config DesiredState::ToMessage() const {
  v1::Config config = GlobalMessage();
  for (const auto& [key, service] : services) *config.add_services() = service;
  return config;
}

void StateChange::MoveInto(DesiredState& state) {
  for (auto& [key, service] : overlay_) {
    if (service) {
      state.services[key] = std::move(*service);
    } else {
      state.services.erase(key);
    }
  }
  state.timeouts = timeouts_;
  state.settings = settings_;
  state.fwmark_rules = std::move(fwmark_rules_);
  state.local_addresses = std::move(local_addresses_);
  state.drained = drained_;
}

void StateChange::Apply(const v1::Change& change, const std::string& field, Problems& problems) {
  switch (change.change_case()) {
    case v1::Change::kPutService:
      return PutService(change.put_service(), absl::StrCat(field, ".put_service.service"), problems);
    case v1::Change::kDeleteService:
      return DeleteService(change.delete_service(), absl::StrCat(field, ".delete_service"), problems);
    case v1::Change::kPutDestination:
      return PutDestination(change.put_destination(), absl::StrCat(field, ".put_destination"), problems);
    case v1::Change::kDeleteDestination:
      return DeleteDestination(change.delete_destination(), absl::StrCat(field, ".delete_destination"),
                               problems);
    case v1::Change::kSetTimeouts:
      return SetTimeouts(change.set_timeouts(), absl::StrCat(field, ".set_timeouts"), problems);
    case v1::Change::kDeleteAll: return DeleteAll(change.delete_all().force());
    case v1::Change::kSetSettings:
      return SetSettings(change.set_settings(), absl::StrCat(field, ".set_settings"), problems);
    case v1::Change::kAddFwmarkRule:
      return AddFwmarkRule(change.add_fwmark_rule(), absl::StrCat(field, ".add_fwmark_rule"), problems);
    case v1::Change::kDeleteFwmarkRule:
      return DeleteFwmarkRule(change.delete_fwmark_rule(), absl::StrCat(field, ".delete_fwmark_rule"),
                              problems);
    case v1::Change::kAddLocalAddress:
      return AddLocalAddress(change.add_local_address(), absl::StrCat(field, ".add_local_address"), problems);
    case v1::Change::kDeleteLocalAddress:
      return DeleteLocalAddress(change.delete_local_address(), absl::StrCat(field, ".delete_local_address"),
                                problems);
    case v1::Change::kReplaceOwned:
      return ReplaceOwned(change.replace_owned().config(), absl::StrCat(field, ".replace_owned.config"),
                          problems);
    case v1::Change::kSetDrained: return SetDrained(change.set_drained());
    case v1::Change::CHANGE_NOT_SET:
      problems.Add(v1::INVALID_VALUE, field, "is empty: says nothing this Sluice understands");
      return;
  }
}

void StateChange::PutService(const v1::PutService& put, const std::string& path, Problems& problems) {
  const int before = problems.Count();
  const v1::Service& wanted = put.service();
  const std::optional<ServiceKey> key = ValidateKey(wanted.key(), absl::StrCat(path, ".key"), problems);
  ValidateService(wanted, path, problems);
  if (key) {
    std::set<Endpoint> seen;
    for (int i = 0; i < wanted.destinations_size(); ++i) {
      const std::string at = absl::StrCat(path, ".destinations[", i, "]");
      ValidateDestination(*key, wanted.destinations(i), at, problems);
      if (!seen.insert(EndpointOf(*key, wanted.destinations(i))).second) {
        problems.Add(v1::DESTINATION_EXISTS, at,
                     absl::StrCat(EndpointOf(*key, wanted.destinations(i)).ToString(), ": is listed twice"));
      }
    }
  }
  if (!put.replace_destinations() && wanted.destinations_size() > 0) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(path, ".destinations"),
                 "must be empty unless replace_destinations is set");
  }
  if (problems.Count() > before) return;

  const v1::Service* present = Find(*key);
  if (present != nullptr && put.mode() == v1::CREATE) {
    problems.Add(v1::SERVICE_EXISTS, path, absl::StrCat("service ", NameOf(*key), " exists already"));
    return;
  }
  if (present == nullptr && put.mode() == v1::UPDATE) {
    problems.Add(v1::SERVICE_NOT_FOUND, path, absl::StrCat("there is no service ", NameOf(*key)));
    return;
  }
  if (present != nullptr && FindForChange(*key, v1::SERVICE_NOT_FOUND, path, problems) == nullptr) return;

  v1::Service service = wanted;
  *service.mutable_key() = ToMessage(*key);
  service.set_owner(present == nullptr ? owner_ : present->owner());
  if (service.scheduler().empty()) service.set_scheduler(kDefaultScheduler);
  service.clear_destinations();
  if (present != nullptr) *service.mutable_destinations() = present->destinations();
  const bool is_new = present == nullptr;
  v1::Service settings_before = is_new ? v1::Service() : *present;
  if (is_new) {
    TellService("added", *key);
  } else if (!MessageDifferencer::Equals(settings_before, service)) {
    TellService("edited", *key);
  }
  if (put.replace_destinations()) ReplaceDestinations(*key, wanted, service);
  ValidateWhole(service, path, problems);
  overlay_[*key] = std::move(service);
  places_.erase(*key);
}

// Those that stay keep their place, as they do in the data path; the new come after them.
void StateChange::ReplaceDestinations(const ServiceKey& key, const v1::Service& wanted,
                                      v1::Service& service) {
  std::map<Endpoint, v1::Destination> rest;
  for (const v1::Destination& destination : wanted.destinations()) {
    const Endpoint endpoint = EndpointOf(key, destination);
    rest.emplace(endpoint, Canonical(destination, endpoint));
  }
  google::protobuf::RepeatedPtrField<v1::Destination> result;
  for (const v1::Destination& present : service.destinations()) {
    const Endpoint endpoint = EndpointOf(key, present);
    const auto found = rest.find(endpoint);
    if (found == rest.end()) {
      TellServer("deleted", endpoint, key);
      continue;
    }
    if (!MessageDifferencer::Equals(present, found->second)) TellServer("edited", endpoint, key);
    *result.Add() = found->second;
    rest.erase(found);
  }
  for (const v1::Destination& destination : wanted.destinations()) {
    const auto found = rest.find(EndpointOf(key, destination));
    if (found == rest.end()) continue;
    *result.Add() = found->second;
    ++added_destinations_;
    TellServer("added", found->first, key);
  }
  *service.mutable_destinations() = std::move(result);
}

void StateChange::DeleteService(const v1::DeleteService& request, const std::string& field,
                                Problems& problems) {
  const std::optional<ServiceKey> key = ValidateKey(request.key(), absl::StrCat(field, ".key"), problems);
  if (!key || FindForChange(*key, v1::SERVICE_NOT_FOUND, field, problems) == nullptr) return;
  overlay_[*key] = std::nullopt;
  places_.erase(*key);
  TellService("deleted", *key);
}

void StateChange::PutDestination(const v1::PutDestination& put, const std::string& field,
                                 Problems& problems) {
  const int before = problems.Count();
  const std::optional<ServiceKey> key = ValidateKey(put.service(), absl::StrCat(field, ".service"), problems);
  if (key) ValidateDestination(*key, put.destination(), absl::StrCat(field, ".destination"), problems);
  if (problems.Count() > before) return;
  v1::Service* service =
      FindForChange(*key, v1::SERVICE_NOT_DEFINED, absl::StrCat(field, ".service"), problems);
  if (service == nullptr) return;
  const Endpoint endpoint = EndpointOf(*key, put.destination());
  const v1::Destination wanted = Canonical(put.destination(), endpoint);
  std::map<Endpoint, int>& places = PlacesOf(*key, *service);
  const auto place = places.find(endpoint);
  v1::Destination* present = place == places.end() ? nullptr : service->mutable_destinations(place->second);
  if (present != nullptr && put.mode() == v1::CREATE) {
    problems.Add(v1::DESTINATION_EXISTS, absl::StrCat(field, ".destination"),
                 absl::StrCat(ServerText(endpoint, *key), " exists already"));
  } else if (present == nullptr && put.mode() == v1::UPDATE) {
    problems.Add(v1::DESTINATION_NOT_FOUND, absl::StrCat(field, ".destination"),
                 absl::StrCat("there is no ", ServerText(endpoint, *key)));
  } else if (present == nullptr) {
    places.emplace(endpoint, service->destinations_size());
    *service->add_destinations() = wanted;
    ValidateWhole(*service, absl::StrCat(field, ".destination"), problems);
    ++added_destinations_;
    TellServer("added", endpoint, *key);
  } else if (!MessageDifferencer::Equals(*present, wanted)) {
    *present = wanted;
    ValidateWhole(*service, absl::StrCat(field, ".destination"), problems);
    TellServer("edited", endpoint, *key);
  }
}

void StateChange::DeleteDestination(const v1::DeleteDestination& request, const std::string& field,
                                    Problems& problems) {
  const std::optional<ServiceKey> key =
      ValidateKey(request.service(), absl::StrCat(field, ".service"), problems);
  if (!key) return;
  const std::optional<Endpoint> endpoint =
      ValidateDestinationEndpoint(*key, request.address(), request.port(), field, problems);
  if (!endpoint) return;
  v1::Service* service =
      FindForChange(*key, v1::SERVICE_NOT_DEFINED, absl::StrCat(field, ".service"), problems);
  if (service == nullptr) return;
  std::map<Endpoint, int>& places = PlacesOf(*key, *service);
  const auto place = places.find(*endpoint);
  if (place == places.end()) {
    problems.Add(v1::DESTINATION_NOT_FOUND, field, absl::StrCat("there is no ", ServerText(*endpoint, *key)));
    return;
  }
  const int gone = place->second;
  service->mutable_destinations()->DeleteSubrange(gone, 1);
  places.erase(place);
  for (auto& [other, index] : places) index -= index > gone;
  TellServer("deleted", *endpoint, *key);
}

void StateChange::SetTimeouts(const v1::Timeouts& wanted, const std::string& field, Problems& problems) {
  const int before = problems.Count();
  ValidateTimeouts(wanted, field, problems);
  if (problems.Count() > before) return;
  const TimeoutSpec old = timeouts_;
  if (wanted.tcp_seconds() != 0) timeouts_.tcp_seconds = wanted.tcp_seconds();
  if (wanted.tcp_fin_seconds() != 0) timeouts_.tcp_fin_seconds = wanted.tcp_fin_seconds();
  if (wanted.udp_seconds() != 0) timeouts_.udp_seconds = wanted.udp_seconds();
  if (timeouts_ == old) return;
  touches_global_ = true;
  Tell(absl::StrCat("set timeouts (tcp tcpfin udp): ", timeouts_.tcp_seconds, " ", timeouts_.tcp_fin_seconds,
                    " ", timeouts_.udp_seconds));
}

void StateChange::SetSettings(const v1::Settings& wanted, const std::string& field, Problems& problems) {
  const int before = problems.Count();
  ValidateSettings(wanted, field, problems);
  if (problems.Count() > before) return;
  const Settings merged = Merge(settings_, wanted);
  if (merged == settings_) return;
  settings_ = merged;
  touches_global_ = true;
  Tell(absl::StrCat("set ", wanted.ShortDebugString()));
}

void StateChange::SetDrained(bool drained) {
  if (drained == drained_) return;
  drained_ = drained;
  touches_global_ = true;
  Tell(drained ? "drained this node" : "undrained this node");
}

void StateChange::AddFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems) {
  const int before = problems.Count();
  ValidateFwmarkRule(rule, field, problems);
  if (problems.Count() > before) return;
  for (const v1::FwmarkRule& present : fwmark_rules_) {
    if (ToSpec(present) != ToSpec(rule)) continue;
    problems.Add(v1::RULE_EXISTS, field, absl::StrCat("the rule ", NameOf(rule), " exists already"));
    return;
  }
  fwmark_rules_.push_back(rule);
  fwmark_rules_.back().set_owner(owner_);
  touches_global_ = true;
  Tell(absl::StrCat("added rule ", NameOf(rule)));
}

void StateChange::DeleteFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems) {
  const int before = problems.Count();
  ValidateFwmarkRule(rule, field, problems);
  if (problems.Count() > before) return;
  const auto found = std::find_if(fwmark_rules_.begin(), fwmark_rules_.end(),
                                  [&](const auto& present) { return ToSpec(present) == ToSpec(rule); });
  if (found == fwmark_rules_.end()) {
    problems.Add(v1::RULE_NOT_FOUND, field, absl::StrCat("there is no rule ", NameOf(rule)));
    return;
  }
  if (!MayChange(owner_, found->owner())) {
    problems.Add(v1::OWNED_BY_ANOTHER, field,
                 absl::StrCat("the rule ", NameOf(rule), " belongs to ", OwnerName(found->owner()), ": ",
                              OwnerName(owner_), " may not delete it"));
    return;
  }
  fwmark_rules_.erase(found);
  touches_global_ = true;
  Tell(absl::StrCat("deleted rule ", NameOf(rule)));
}

void StateChange::AddLocalAddress(const v1::LocalAddress& local, const std::string& field,
                                  Problems& problems) {
  const int before = problems.Count();
  ValidateLocalAddress(local, field, problems);
  if (problems.Count() > before) return;
  for (const v1::LocalAddress& present : local_addresses_) {
    if (NameOf(present) != NameOf(local)) continue;
    problems.Add(v1::LOCAL_ADDRESS_EXISTS, field,
                 absl::StrCat("the local address ", NameOf(local), " exists already"));
    return;
  }
  local_addresses_.push_back(local);
  local_addresses_.back().set_owner(owner_);
  touches_global_ = true;
  Tell(absl::StrCat("added local address ", NameOf(local)));
}

// Connections keep it until they end.
void StateChange::DeleteLocalAddress(const v1::LocalAddress& local, const std::string& field,
                                     Problems& problems) {
  const auto found = std::find_if(local_addresses_.begin(), local_addresses_.end(),
                                  [&](const auto& present) { return NameOf(present) == NameOf(local); });
  if (found == local_addresses_.end()) {
    problems.Add(v1::LOCAL_ADDRESS_NOT_FOUND, field,
                 absl::StrCat("there is no local address ", NameOf(local)));
    return;
  }
  if (!MayChange(owner_, found->owner())) {
    problems.Add(v1::OWNED_BY_ANOTHER, field,
                 absl::StrCat("the local address ", NameOf(local), " belongs to ", OwnerName(found->owner()),
                              ": ", OwnerName(owner_), " may not delete it"));
    return;
  }
  local_addresses_.erase(found);
  touches_global_ = true;
  Tell(absl::StrCat("deleted local address ", NameOf(local)));
}

void StateChange::DeleteAll(bool force) {
  places_.clear();
  std::map<v1::Owner, size_t> left_alone;
  const auto deletes = [&](const v1::Service& service) {
    if (force || MayChange(owner_, service.owner())) return true;
    ++left_alone[service.owner()];
    return false;
  };
  for (auto& [key, service] : overlay_) {
    if (service && deletes(*service)) service = std::nullopt;
  }
  for (const auto& [key, service] : state_.services) {
    if (!overlay_.contains(key) && deletes(service)) overlay_[key] = std::nullopt;
  }
  Tell(left_alone.empty() ? "deleted every service" : "deleted every service that others do not own");
  for (const auto& [owner, count] : left_alone) {
    warnings_.push_back(absl::StrCat(count, count == 1 ? " service belongs" : " services belong", " to ",
                                     OwnerName(owner), " and stayed as ", count == 1 ? "it is" : "they are",
                                     "; to delete them, too, say --force (force in DeleteAll)"));
  }
}

void StateChange::ReplaceOwned(const v1::Config& wanted, const std::string& field, Problems& problems) {
  ReplaceEach(fwmark_rules_, wanted.fwmark_rules(), [&](const v1::FwmarkRule& rule, bool add, int i) {
    add ? AddFwmarkRule(rule, absl::StrCat(field, ".fwmark_rules[", i, "]"), problems)
        : DeleteFwmarkRule(rule, field, problems);
  });
  ReplaceEach(local_addresses_, wanted.local_addresses(),
              [&](const v1::LocalAddress& local, bool add, int i) {
                add ? AddLocalAddress(local, absl::StrCat(field, ".local_addresses[", i, "]"), problems)
                    : DeleteLocalAddress(local, field, problems);
              });
  std::set<ServiceKey> kept;
  for (int i = 0; i < wanted.services_size(); ++i) {
    const std::string path = absl::StrCat(field, ".services[", i, "]");
    v1::PutService put;
    *put.mutable_service() = wanted.services(i);
    put.set_replace_destinations(true);
    PutService(put, path, problems);
    Problems known_already;
    const std::optional<ServiceKey> key = ValidateKey(wanted.services(i).key(), path, known_already);
    if (key && !kept.insert(*key).second)
      problems.Add(v1::SERVICE_EXISTS, path, absl::StrCat("service ", NameOf(*key), " is listed twice"));
  }
  const auto delete_ours = [&](const ServiceKey& key, const v1::Service& service) {
    if (service.owner() != owner_ || kept.contains(key)) return;
    overlay_[key] = std::nullopt;
    places_.erase(key);
    TellService("deleted", key);
  };
  for (const auto& [key, service] : overlay_) {
    if (service && !state_.services.contains(key)) delete_ours(key, *service);
  }
  for (const auto& [key, service] : state_.services) {
    if (Find(key) != nullptr) delete_ours(key, service);
  }
  if (wanted.has_timeouts()) SetTimeouts(wanted.timeouts(), absl::StrCat(field, ".timeouts"), problems);
  if (wanted.has_settings()) SetSettings(wanted.settings(), absl::StrCat(field, ".settings"), problems);
  if (wanted.has_drained()) SetDrained(wanted.drained());
}

// Our own among `present` become those `wanted`, in their order, which counts for rules: after a first
// difference all that follow are made anew.
template <class Message, class Each>
void StateChange::ReplaceEach(const std::vector<Message>& present,
                              const google::protobuf::RepeatedPtrField<Message>& wanted, const Each& each) {
  std::vector<Message> ours;
  for (const Message& message : present) {
    if (message.owner() == owner_) ours.push_back(message);
  }
  int same = 0;
  while (same < wanted.size() && same < static_cast<int>(ours.size()) &&
         NameOf(wanted[same]) == NameOf(ours[static_cast<size_t>(same)]))
    ++same;
  for (size_t i = static_cast<size_t>(same); i < ours.size(); ++i) each(ours[i], false, 0);
  for (int i = same; i < wanted.size(); ++i) each(wanted[i], true, i);
}

void StateChange::Tell(const std::string& what) {
  if (Tells()) changed_.push_back(what);
}

// Of these there may be a million.
void StateChange::TellService(const char* verb, const ServiceKey& key) {
  if (Tells()) changed_.push_back(absl::StrCat(verb, " service ", NameOf(key)));
}

void StateChange::TellServer(const char* verb, const Endpoint& endpoint, const ServiceKey& key) {
  if (Tells()) changed_.push_back(absl::StrCat(verb, " ", ServerText(endpoint, key)));
}

std::map<ServiceKey, std::optional<v1::Service>> StateChange::Touched() const {
  std::map<ServiceKey, std::optional<v1::Service>> touched;
  for (const auto& [key, service] : overlay_) {
    const auto before = state_.services.find(key);
    const bool same = before == state_.services.end()
                          ? !service
                          : service && MessageDifferencer::Equals(before->second, *service);
    if (!same) touched.emplace(key, service);
  }
  return touched;
}

const v1::Service* StateChange::Find(const ServiceKey& key) const {
  if (const auto found = overlay_.find(key); found != overlay_.end())
    return found->second ? &*found->second : nullptr;
  const auto found = state_.services.find(key);
  return found == state_.services.end() ? nullptr : &found->second;
}

// Kept until the service is put or deleted as a whole: a restore adds one server after the other.
std::map<Endpoint, int>& StateChange::PlacesOf(const ServiceKey& key, const v1::Service& service) {
  const auto [found, is_new] = places_.try_emplace(key);
  if (!is_new) return found->second;
  for (int i = 0; i < service.destinations_size(); ++i)
    found->second.emplace(EndpointOf(key, service.destinations(i)), i);
  return found->second;
}

v1::Service* StateChange::FindForChange(const ServiceKey& key, v1::RefusalReason if_absent,
                                        const std::string& field, Problems& problems) {
  const v1::Service* present = Find(key);
  if (present == nullptr) {
    problems.Add(if_absent, field, absl::StrCat("there is no service ", NameOf(key)));
    return nullptr;
  }
  if (!MayChange(owner_, present->owner())) {
    problems.Add(v1::OWNED_BY_ANOTHER, field,
                 absl::StrCat("service ", NameOf(key), " belongs to ", OwnerName(present->owner()), ": ",
                              OwnerName(owner_), " may not change it"));
    return nullptr;
  }
  auto [place, is_new] = overlay_.try_emplace(key);
  if (is_new) place->second = *present;
  return &*place->second;
}

}  // namespace sluice
