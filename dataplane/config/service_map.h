// All services of a configuration.
// Threads: a value; services themselves are never changed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/config/service.h"
#include "dataplane/config/shards.h"

namespace sluice {

class ServiceMap {
 public:
  ServiceMap Share() {
    ServiceMap copy;
    copy.shards_ = shards_.Share();
    copy.size_ = size_;
    return copy;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // nullptr: it is not there.
  const Service* Find(const ServiceKey& key) const {
    const Shard* shard = shards_.Get(PlaceOf(key));
    if (shard == nullptr) return nullptr;
    const auto found = shard->find(key);
    return found == shard->end() ? nullptr : found->second.get();
  }
  // By key.
  std::vector<std::shared_ptr<const Service>> All() const {
    std::vector<std::shared_ptr<const Service>> all;
    all.reserve(size_);
    for (size_t place = 0; place < Shards<Shard>::kCount; ++place) {
      if (shards_.Get(place) == nullptr) continue;
      for (const auto& [key, service] : *shards_.Get(place)) all.push_back(service);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->spec.key < b->spec.key; });
    return all;
  }

  void Put(std::shared_ptr<const Service> service) {
    Shard& shard = shards_.Own(PlaceOf(service->spec.key));
    size_ += shard.insert_or_assign(service->spec.key, service).second;
  }
  void Remove(const ServiceKey& key) { size_ -= shards_.Own(PlaceOf(key)).erase(key); }

 private:
  using Shard = std::map<ServiceKey, std::shared_ptr<const Service>>;

  static size_t PlaceOf(const ServiceKey& key) {
    const size_t hash = EndpointHash()(key) + key.fwmark;
    return (hash * 0x9e3779b97f4a7c15u) >> 56;
  }

  Shards<Shard> shards_;
  size_t size_ = 0;
};

}  // namespace sluice
