// The configuration as it is wanted: services in canonical form, by key. And a change of it in the making,
// which sees its own effects and can be dropped.
// Threads: values; ConfigStore guards the one that counts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/refusals.h"
#include "dataplane/config/spec.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

struct DesiredState {
  // Schedulers, owners and weights are spelt out; addresses are as IpAddress writes them.
  std::map<ServiceKey, v1::Service> services;
  TimeoutSpec timeouts;
  Settings settings;
  std::vector<v1::FwmarkRule> fwmark_rules;
  std::vector<v1::LocalAddress> local_addresses;
  bool drained = false;

  // What of this belongs to no service.
  GlobalSpec Global() const;
  v1::Config GlobalMessage() const;
  v1::Config ToMessage() const;
};

// The changes of one request, applied in order to a copy of what they touch.
class StateChange {
 public:
  StateChange(const DesiredState& state, v1::Owner owner)
      : state_(state),
        owner_(owner),
        timeouts_(state.timeouts),
        settings_(state.settings),
        fwmark_rules_(state.fwmark_rules),
        local_addresses_(state.local_addresses),
        drained_(state.drained) {}

  // `field` is the path of `change` in the request. What is wrong is added to `problems`; then the whole
  // StateChange must be dropped.
  void Apply(const v1::Change& change, const std::string& field, Problems& problems);

  // The services that differ from before, and what they become; nullopt: deleted.
  std::map<ServiceKey, std::optional<v1::Service>> Touched() const;
  // The last that is asked of it. `state` is that of which it is a change.
  void MoveInto(DesiredState& state);
  // Whether anything differs from before that belongs to no service.
  bool TouchesGlobal() const { return touches_global_; }
  // In words, one line for each effect, of the first thousand; and how many more there are.
  const std::vector<std::string>& changed() const { return changed_; }
  size_t untold() const { return change_count_ - changed_.size(); }
  // For the operator: what was asked for and not done.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Destinations that were not there before.
  size_t added_destinations() const { return added_destinations_; }

 private:
  // `path` is that of the service.
  void PutService(const v1::PutService& put, const std::string& path, Problems& problems);
  void DeleteService(const v1::DeleteService& request, const std::string& field, Problems& problems);
  void PutDestination(const v1::PutDestination& put, const std::string& field, Problems& problems);
  void DeleteDestination(const v1::DeleteDestination& request, const std::string& field, Problems& problems);
  void SetTimeouts(const v1::Timeouts& wanted, const std::string& field, Problems& problems);
  void SetSettings(const v1::Settings& wanted, const std::string& field, Problems& problems);
  void AddFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems);
  void DeleteFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems);
  void AddLocalAddress(const v1::LocalAddress& local, const std::string& field, Problems& problems);
  void DeleteLocalAddress(const v1::LocalAddress& local, const std::string& field, Problems& problems);
  void SetDrained(bool drained);
  void DeleteAll(bool force);
  void ReplaceOwned(const v1::Config& wanted, const std::string& field, Problems& problems);

  template <class Message, class Each>
  void ReplaceEach(const std::vector<Message>& present,
                   const google::protobuf::RepeatedPtrField<Message>& wanted, const Each& each);
  void ReplaceDestinations(const ServiceKey& key, const v1::Service& wanted, v1::Service& service);
  const v1::Service* Find(const ServiceKey& key) const;
  // nullptr, with a problem, if this owner may not change it.
  v1::Service* FindForChange(const ServiceKey& key, v1::RefusalReason if_absent, const std::string& field,
                             Problems& problems);
  // Where each destination of a service in the overlay is.
  std::map<Endpoint, int>& PlacesOf(const ServiceKey& key, const v1::Service& service);

  void Tell(const std::string& what);
  void TellService(const char* verb, const ServiceKey& key);
  void TellServer(const char* verb, const Endpoint& endpoint, const ServiceKey& key);
  // Counts a change; whether it is worth words.
  bool Tells() { return ++change_count_ <= kMostTold; }

  const DesiredState& state_;
  const v1::Owner owner_;
  std::map<ServiceKey, std::optional<v1::Service>> overlay_;
  std::map<ServiceKey, std::map<Endpoint, int>> places_;  // of those services that were asked for
  TimeoutSpec timeouts_;
  Settings settings_;
  std::vector<v1::FwmarkRule> fwmark_rules_;
  std::vector<v1::LocalAddress> local_addresses_;
  bool drained_;
  bool touches_global_ = false;
  static constexpr size_t kMostTold = 1000;
  size_t change_count_ = 0;
  std::vector<std::string> changed_;
  std::vector<std::string> warnings_;
  size_t added_destinations_ = 0;
};

}  // namespace sluice
