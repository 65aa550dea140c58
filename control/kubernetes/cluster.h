// The objects as the API server last told them, and which Services' virtual services must be looked at again.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/kubernetes/objects.h"
#include "control/mutex.h"

namespace sluice::kubernetes {

class Cluster {
 public:
  // Of nodes only this one counts; empty: none.
  explicit Cluster(std::string node_name = "") : node_name_(std::move(node_name)) {}

  // All there are; those that are not among them are gone.
  void Replace(std::vector<ServiceObject> services);
  void Replace(std::vector<SliceObject> slices);
  void Replace(std::vector<NodeObject> nodes);
  void Put(ServiceObject service);
  void Put(SliceObject slice);
  void Put(NodeObject node);
  void Delete(const ServiceObject& service);
  void Delete(const SliceObject& slice);
  void Delete(const NodeObject& node);

  // How many there are of a kind; nothing before the first list.
  template <class Object>
  size_t Count() const;

  struct News {
    std::set<ObjectName> services;  // that are new, different or gone
    bool all = false;               // every Service must be looked at: the node is another
    // What they are about happened then, as the API server's clocks have it; since this process began.
    std::map<ObjectName, std::vector<absl::Time>> happened_at;
    uint64_t service_changes = 0;
    uint64_t slice_changes = 0;
  };
  // Waits until there is news, and services and slices have been listed and the node is known, or the time is
  // over.
  News WaitForNews(std::chrono::steady_clock::time_point end);
  // They have not been dealt with: the next WaitForNews has them again.
  void PutBack(News news);
  // All services, so that all are looked at again.
  void LookAtAll();
  // Ends a wait.
  void Wake();

  bool IsListed() const;  // services, slices and the node
  // Of these three, in words, those that are not known yet; empty: none.
  std::string Missing() const;
  std::optional<NodeObject> Node() const;
  // Calls `look` with the service and its slices while nothing changes; false: there is no such service.
  bool Look(const ObjectName& name,
            const std::function<void(const ServiceObject&, std::span<const SliceObject* const>)>& look) const;
  std::vector<ObjectName> ServiceNames() const;

 private:
  using SlicesOfService = std::map<std::string, SliceObject>;  // by name
  void PutLocked(SliceObject slice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DeleteLocked(const ObjectName& slice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsListedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return services_are_listed_ && slices_are_listed_ && (node_name_.empty() || node_.has_value());
  }

  const std::string node_name_;
  const absl::Time began_ = absl::Now();
  mutable Mutex mutex_;
  std::map<ObjectName, ServiceObject> services_ ABSL_GUARDED_BY(mutex_);
  std::map<ObjectName, SlicesOfService> slices_ ABSL_GUARDED_BY(mutex_);  // by service
  std::map<ObjectName, ObjectName> service_of_ ABSL_GUARDED_BY(mutex_);   // by slice
  std::optional<NodeObject> node_ ABSL_GUARDED_BY(mutex_);
  bool services_are_listed_ ABSL_GUARDED_BY(mutex_) = false;
  bool slices_are_listed_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_woken_ ABSL_GUARDED_BY(mutex_) = false;
  News news_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::kubernetes
