// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice::kubernetes {
namespace {

// The version alone is no difference.
template <class Object>
bool IsSame(const Object& have, Object& wanted) {
  const std::string version = std::exchange(wanted.version, have.version);
  const bool same = have == wanted;
  wanted.version = version;
  return same;
}

}  // namespace

void Cluster::Replace(std::vector<ServiceObject> services) {
  const MutexLock lock(mutex_);
  std::map<ObjectName, ServiceObject> before;
  std::swap(before, services_);
  for (ServiceObject& service : services) {
    const ObjectName name = service.name;
    const auto have = before.find(name);
    if (have == before.end() || !IsSame(have->second, service))
      news_.services.insert(name), ++news_.service_changes;
    if (have != before.end()) before.erase(have);
    services_.insert_or_assign(name, std::move(service));
  }
  for (const auto& [name, service] : before) news_.services.insert(name), ++news_.service_changes;
  services_are_listed_ = true;
  mutex_.NotifyAll();
}

void Cluster::Replace(std::vector<SliceObject> slices) {
  const MutexLock lock(mutex_);
  std::set<ObjectName> gone;
  for (const auto& [slice, service] : service_of_) gone.insert(slice);
  for (SliceObject& slice : slices) {
    gone.erase(slice.name);
    PutLocked(std::move(slice));
  }
  for (const ObjectName& slice : gone) DeleteLocked(slice);
  slices_are_listed_ = true;
  mutex_.NotifyAll();
}

// Where ours is not among them, it is registered later, or the list is wrong: what is known of it stays.
void Cluster::Replace(std::vector<NodeObject> nodes) {
  for (NodeObject& node : nodes) Put(std::move(node));
}

void Cluster::Put(ServiceObject service) {
  const MutexLock lock(mutex_);
  const ObjectName name = service.name;
  const auto [have, is_new] = services_.try_emplace(name);
  if (is_new || !IsSame(have->second, service)) news_.services.insert(name), ++news_.service_changes;
  have->second = std::move(service);
  mutex_.NotifyAll();
}

void Cluster::Put(SliceObject slice) {
  const MutexLock lock(mutex_);
  PutLocked(std::move(slice));
  mutex_.NotifyAll();
}

void Cluster::PutLocked(SliceObject slice) {
  const ObjectName service = {slice.name.name_space, slice.service};
  const auto before = service_of_.find(slice.name);
  if (before != service_of_.end() && before->second != service) DeleteLocked(slice.name);
  if (slice.service.empty()) return;
  service_of_[slice.name] = service;
  const auto [have, is_new] = slices_[service].try_emplace(slice.name.name);
  if (is_new || !IsSame(have->second, slice)) {
    news_.services.insert(service);
    ++news_.slice_changes;
    absl::Time time;
    std::string ignored;
    if (absl::ParseTime(absl::RFC3339_full, slice.changed_at, &time, &ignored) && time >= began_ &&
        time <= absl::Now())
      news_.happened_at[service].push_back(time);
  }
  have->second = std::move(slice);
}

void Cluster::Put(NodeObject node) {
  if (node.name.name != node_name_) return;
  const MutexLock lock(mutex_);
  if (!node_ || !IsSame(*node_, node)) news_.all = true;
  node_ = std::move(node);
  mutex_.NotifyAll();
}

void Cluster::Delete(const ServiceObject& service) {
  const MutexLock lock(mutex_);
  if (services_.erase(service.name) == 0) return;
  news_.services.insert(service.name);
  ++news_.service_changes;
  mutex_.NotifyAll();
}

void Cluster::Delete(const SliceObject& slice) {
  const MutexLock lock(mutex_);
  DeleteLocked(slice.name);
  mutex_.NotifyAll();
}

void Cluster::DeleteLocked(const ObjectName& slice) {
  const auto found = service_of_.find(slice);
  if (found == service_of_.end()) return;
  const auto of_service = slices_.find(found->second);
  of_service->second.erase(slice.name);
  if (of_service->second.empty()) slices_.erase(of_service);
  news_.services.insert(found->second);
  news_.happened_at.erase(found->second);  // when endpoints went nobody has said
  ++news_.slice_changes;
  service_of_.erase(found);
}

// It is gone, or no longer what was asked for: what was known of it stays.
void Cluster::Delete(const NodeObject& node) {
  if (node.name.name != node_name_) return;
  const MutexLock lock(mutex_);
  if (node_) node_->is_going = true;
}

template <>
size_t Cluster::Count<ServiceObject>() const {
  const MutexLock lock(mutex_);
  return services_.size();
}
template <>
size_t Cluster::Count<SliceObject>() const {
  const MutexLock lock(mutex_);
  return service_of_.size();
}
template <>
size_t Cluster::Count<NodeObject>() const {
  const MutexLock lock(mutex_);
  return node_ ? 1 : 0;
}

Cluster::News Cluster::WaitForNews(std::chrono::steady_clock::time_point end) {
  const MutexLock lock(mutex_);
  const auto has_news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return IsListedLocked() && (!news_.services.empty() || news_.all);
  };
  while (!has_news() && !is_woken_ && std::chrono::steady_clock::now() < end) mutex_.WaitUntil(end);
  is_woken_ = false;
  if (!IsListedLocked()) return {};
  return std::exchange(news_, {});
}

void Cluster::PutBack(News news) {
  const MutexLock lock(mutex_);
  news_.services.merge(news.services);
  news_.all |= news.all;
  for (const auto& [service, times] : news.happened_at) {
    std::vector<absl::Time>& all = news_.happened_at[service];
    all.insert(all.end(), times.begin(), times.end());
  }
  news_.service_changes += news.service_changes;
  news_.slice_changes += news.slice_changes;
}

void Cluster::LookAtAll() {
  const MutexLock lock(mutex_);
  news_.all = true;
  mutex_.NotifyAll();
}

void Cluster::Wake() {
  const MutexLock lock(mutex_);
  is_woken_ = true;
  mutex_.NotifyAll();
}

bool Cluster::IsListed() const {
  const MutexLock lock(mutex_);
  return IsListedLocked();
}

std::string Cluster::Missing() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> missing;
  if (!services_are_listed_) missing.push_back("Services");
  if (!slices_are_listed_) missing.push_back("EndpointSlices");
  if (!node_name_.empty() && !node_) missing.push_back(absl::StrCat("Node ", node_name_));
  return absl::StrJoin(missing, ", ");
}

std::optional<NodeObject> Cluster::Node() const {
  const MutexLock lock(mutex_);
  return node_;
}

bool Cluster::Look(
    const ObjectName& name,
    const std::function<void(const ServiceObject&, std::span<const SliceObject* const>)>& look) const {
  const MutexLock lock(mutex_);
  const auto service = services_.find(name);
  if (service == services_.end()) return false;
  std::vector<const SliceObject*> slices;
  if (const auto found = slices_.find(name); found != slices_.end()) {
    for (const auto& [slice_name, slice] : found->second) slices.push_back(&slice);
  }
  look(service->second, slices);
  return true;
}

std::vector<ObjectName> Cluster::ServiceNames() const {
  const MutexLock lock(mutex_);
  std::vector<ObjectName> names;
  for (const auto& [name, service] : services_) names.push_back(name);
  return names;
}

}  // namespace sluice::kubernetes
