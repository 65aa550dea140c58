// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/program.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

template <class Message>
bool IsSameMessage(const Message& a, const Message& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

bool IsUrgent(const v1::Service& service) {
  const v1::KubernetesName& name = service.kubernetes();
  return IsNeededByAll({name.namespace_(), name.service()});
}

}  // namespace

// Nodes cannot join without the API server, and nobody finds anything without DNS.
bool IsNeededByAll(const ObjectName& service) {
  return (service.name_space == "default" && service.name == "kubernetes") ||
         (service.name_space == "kube-system" && (service.name == "kube-dns" || service.name == "coredns"));
}

void Program::Begin(const v1::Config& config, const std::vector<Prefix>& excluded) {
  have_.clear();
  drained_.clear();
  left_out_.clear();
  sent_.clear();
  for (const v1::Service& service : config.services()) {
    if (service.owner() != v1::KUBERNETES || service.key().fwmark() != 0) continue;
    const std::optional<Address> address = ParseAddress(service.key().address());
    if (std::any_of(excluded.begin(), excluded.end(),
                    [&](const Prefix& prefix) { return address && prefix.Contains(*address); }))
      continue;
    auto wanted_once = std::make_shared<v1::Service>(service);
    wanted_once->clear_destinations();
    Programmed& have = have_[VirtualKey::Of(service.key())];
    for (const v1::Destination& each : service.destinations()) {
      if (each.weight() == 0) {
        have.draining.push_back(each);
      } else {
        *wanted_once->add_destinations() = each;
      }
    }
    have.service = std::move(wanted_once);
    Mark(VirtualKey::Of(service.key()));
  }
  for (const auto& [key, claims] : claims_) Mark(key);
}

void Program::Want(const ObjectName& service, std::vector<Claim> claims, const std::vector<Leaving>& leaving,
                   int64_t created) {
  std::set<DestinationName> ended;
  if (const auto found = leaving_.find(service); found != leaving_.end()) ended = std::move(found->second);
  if (leaving.empty()) {
    leaving_.erase(service);
  } else {
    leaving_[service] = {leaving.begin(), leaving.end()};
  }
  for (const Leaving& each : leaving) ended.erase(each);
  std::map<VirtualKey, Rank> before;
  if (const auto found = keys_of_.find(service); found != keys_of_.end()) before = std::move(found->second);
  std::map<VirtualKey, Rank>& now = keys_of_[service];
  now.clear();
  for (Claim& claim : claims) {
    const VirtualKey key = VirtualKey::Of(claim.service.key());
    const Rank rank = {claim.kind, created, service};
    if (!now.emplace(key, rank).second) continue;
    const auto had = before.find(key);
    if (had != before.end() && had->second != rank) DropClaim(key, had->second);
    if (had != before.end()) before.erase(had);
    PutClaim(key, rank, std::move(claim));
  }
  for (const auto& [key, rank] : before) DropClaim(key, rank);
  if (!ended.empty()) {
    for (const auto& [key, rank] : now) {
      if (HasIt(service, key)) EndDrains(key, ended);
    }
  }
  if (now.empty()) keys_of_.erase(service);
}

void Program::PutClaim(const VirtualKey& key, const Rank& rank, Claim claim) {
  std::map<Rank, Shared>& claims = claims_[key];
  const auto [place, is_new] = claims.try_emplace(rank);
  Shared& shared = place->second;
  if (claims.size() > 1) contested_.insert(key);
  const bool is_same = claim.is_served ? shared != nullptr && IsSameMessage(*shared, claim.service)
                                       : !is_new && shared == nullptr;
  if (is_same) return;
  shared = claim.is_served ? std::make_shared<v1::Service>(std::move(claim.service)) : nullptr;
  if (!HasIt(rank.service, key)) return;
  left_out_.erase(key);
  Mark(key);
}

void Program::DropClaim(const VirtualKey& key, const Rank& rank) {
  const bool had_it = HasIt(rank.service, key);
  const auto found = claims_.find(key);
  found->second.erase(rank);
  if (found->second.size() < 2) contested_.erase(key);
  if (found->second.empty()) claims_.erase(found);
  if (!had_it) return;
  left_out_.erase(key);
  Mark(key);
}

bool Program::HasIt(const ObjectName& service, const VirtualKey& key) const {
  const auto found = claims_.find(key);
  return found != claims_.end() && found->second.begin()->first.service == service;
}

std::vector<Program::Loss> Program::Losses() const {
  std::vector<Loss> losses;
  for (const VirtualKey& key : contested_) {
    const std::map<Rank, Shared>& claims = claims_.at(key);
    for (auto each = std::next(claims.begin()); each != claims.end(); ++each)
      losses.push_back({each->first.service, claims.begin()->first.service, key});
  }
  return losses;
}

void Program::WantOnly(const std::vector<ObjectName>& services) {
  const std::set<ObjectName> present(services.begin(), services.end());
  std::vector<ObjectName> gone;
  for (const auto& [service, keys] : keys_of_) {
    if (!present.contains(service)) gone.push_back(service);
  }
  for (const ObjectName& service : gone) Want(service, {});
  knows_all_ = true;
  dirty_.merge(may_go_);
  may_go_.clear();
}

std::vector<v1::Change> Program::NextChanges(size_t most) {
  std::vector<v1::Change> changes;
  std::vector<Sent> sent;
  size_t size = 0;
  for (std::set<VirtualKey>* marked : {&urgent_, &dirty_}) {
    while (!marked->empty() && size < most) {
      const VirtualKey key = *marked->begin();
      marked->erase(marked->begin());
      if (left_out_.contains(key)) continue;
      const Shared wanted = Wanted(key);
      const Programmed have = Have(key);
      Programmed target;
      if (wanted != nullptr) target = Target(wanted, have);
      if (IsSame(target, have)) continue;
      if (target.service == nullptr && !knows_all_) {
        may_go_.insert(key);
        continue;
      }
      v1::Change& change = changes.emplace_back();
      size += 1;
      if (target.service == nullptr) {
        *change.mutable_delete_service()->mutable_key() = have.service->key();
      } else {
        v1::Service& service = *change.mutable_put_service()->mutable_service();
        service = *target.service;
        for (const v1::Destination& each : target.draining) *service.add_destinations() = each;
        change.mutable_put_service()->set_replace_destinations(true);
        size += static_cast<size_t>(service.destinations_size());
      }
      sent.push_back({key, std::move(target)});
    }
    // What everybody needs does not wait for the rest.
    if (!changes.empty()) break;
  }
  if (!changes.empty()) sent_.push_back(std::move(sent));
  return changes;
}

void Program::Taken() {
  if (sent_.empty()) return;
  for (Sent& sent : sent_.front()) {
    drained_.erase(sent.key);
    if (sent.target.service == nullptr) {
      have_.erase(sent.key);
    } else {
      have_[sent.key] = std::move(sent.target);
    }
    Mark(sent.key);  // something may have come meanwhile
  }
  sent_.pop_front();
}

void Program::Refused() {
  if (sent_.empty()) return;
  for (const Sent& sent : sent_.front()) Mark(sent.key);
  sent_.pop_front();
}

Program::LeftOut Program::LeaveOut(size_t change) {
  const VirtualKey& key = sent_.front().at(change).key;
  left_out_.insert(key);
  const auto claims = claims_.find(key);
  return {absl::StrCat(v1::Protocol_Name(key.protocol), " ", key.address, " port ", key.port),
          claims == claims_.end() ? ObjectName() : claims->second.begin()->first.service};
}

void Program::TryLeftOutAgain() {
  for (const VirtualKey& key : std::exchange(left_out_, {})) Mark(key);
}

std::vector<VirtualKey> Program::Draining() const {
  std::vector<VirtualKey> draining;
  for (const auto& [key, have] : have_) {
    if (!have.draining.empty()) draining.push_back(key);
  }
  return draining;
}

// Another pod may serve at the same address and port, as on the host's network: it has not ended.
void Program::EndDrains(const VirtualKey& key, const std::set<DestinationName>& ended) {
  const Programmed have = Have(key);
  std::set<DestinationName> stay;
  if (const Shared wanted = Wanted(key); wanted != nullptr) {
    for (const v1::Destination& each : wanted->destinations()) stay.insert(NameOf(each));
  }
  const auto end = [&](const v1::Destination& each) {
    if (ended.contains(NameOf(each)) && !stay.contains(NameOf(each)))
      HasDrained(key, each.address(), each.port());
  };
  if (have.service != nullptr) {
    for (const v1::Destination& each : have.service->destinations()) end(each);
  }
  for (const v1::Destination& each : have.draining) end(each);
}

void Program::HasDrained(const VirtualKey& service, const std::string& address, uint32_t port) {
  drained_[service].insert({address, port});
  Mark(service);
}

Program::Shared Program::Wanted(const VirtualKey& key) const {
  const auto found = claims_.find(key);
  return found == claims_.end() ? nullptr : found->second.begin()->second;
}

Program::Programmed Program::Have(const VirtualKey& key) const {
  const auto found = have_.find(key);
  return found == have_.end() ? Programmed() : found->second;
}

bool Program::IsSame(const Programmed& a, const Programmed& b) {
  const bool is_same_service = a.service == b.service || (a.service != nullptr && b.service != nullptr &&
                                                          IsSameMessage(*a.service, *b.service));
  return is_same_service && std::equal(a.draining.begin(), a.draining.end(), b.draining.begin(),
                                       b.draining.end(), IsSameMessage<v1::Destination>);
}

Program::Programmed Program::Target(const Shared& wanted, const Programmed& have) const {
  Programmed target{wanted, {}};
  // Flows of UDP and SCTP are scheduled anew; TCP's would break.
  if (have.service == nullptr || wanted->key().protocol() != v1::TCP) return target;
  std::set<DestinationName> names;
  if (have.service != wanted) {
    for (const v1::Destination& each : wanted->destinations()) names.insert(NameOf(each));
  }
  const auto drained = drained_.find(VirtualKey::Of(wanted->key()));
  const auto drain = [&](const v1::Destination& each) {
    if (names.contains(NameOf(each)) || (drained != drained_.end() && drained->second.contains(NameOf(each))))
      return;
    target.draining.push_back(each);
    target.draining.back().set_weight(0);
  };
  if (have.service != wanted) {
    for (const v1::Destination& each : have.service->destinations()) drain(each);
  }
  for (const v1::Destination& each : have.draining) drain(each);
  return target;
}

void Program::Mark(const VirtualKey& key) {
  const Shared wanted = Wanted(key);
  (wanted != nullptr && IsUrgent(*wanted) ? urgent_ : dirty_).insert(key);
}

}  // namespace sluice::kubernetes
