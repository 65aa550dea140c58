// SPDX-License-Identifier: Apache-2.0
#include "control/service_statistics.h"

namespace sluice {

void ServiceStatistics::Follow(const Service& service) {
  Record& record = records_[service.spec.key];
  for (const Candidate& candidate : service.candidates) {
    Life& life = lives_[candidate.id];
    if (life.number != destinations_.life(candidate.id)) {
      life = {.number = destinations_.life(candidate.id), .at_start = read_(candidate.id)};
    }
    if (record.members.insert(candidate.id).second) record.former -= OfDestination(candidate.id);
  }
}

void ServiceStatistics::Freed(const SnapshotBuilder::Freed& freed) {
  if (const auto found = records_.find(freed.service);
      found != records_.end() && found->second.members.erase(freed.id) > 0) {
    found->second.former += OfDestination(freed.id);
  }
  gone_ += OfDestination(freed.id);
  lives_.erase(freed.id);
}

DestinationStatistics ServiceStatistics::OfDestination(DestinationId id) const {
  DestinationStatistics statistics = read_(id);
  if (const auto life = lives_.find(id); life != lives_.end()) statistics -= life->second.at_start;
  return statistics;
}

DestinationStatistics ServiceStatistics::OfService(const ServiceKey& key) const {
  const auto found = records_.find(key);
  if (found == records_.end()) return {};
  DestinationStatistics sum = found->second.former;
  for (const DestinationId id : found->second.members) sum += OfDestination(id);
  return sum;
}

void ServiceStatistics::Estimate() {
  DestinationStatistics total;
  for (auto& [id, life] : lives_) {
    life.now = read_(id);
    life.now -= life.at_start;
    life.estimator.Update(life.now);
    total += life.now;
  }
  for (auto& [key, record] : records_) {
    DestinationStatistics sum = record.former;
    for (const DestinationId id : record.members) {
      if (const auto life = lives_.find(id); life != lives_.end()) sum += life->second.now;
    }
    record.estimator.Update(sum);
  }
  total += gone_;
  total_.Update(total);
}

DestinationStatistics ServiceStatistics::RatesOfDestination(DestinationId id) const {
  const auto found = lives_.find(id);
  return found == lives_.end() ? DestinationStatistics() : found->second.estimator.Rates();
}

DestinationStatistics ServiceStatistics::RatesOfService(const ServiceKey& key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? DestinationStatistics() : found->second.estimator.Rates();
}

}  // namespace sluice
