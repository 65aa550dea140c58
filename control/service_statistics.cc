// SPDX-License-Identifier: Apache-2.0
#include "control/service_statistics.h"

namespace sluice {

void ServiceStatistics::Follow(const Service& service) {
  Record& record = records_[service.spec.key];
  for (const Candidate& candidate : service.candidates) {
    if (candidate.id >= lives_.size()) lives_.resize(candidate.id + 1);
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
  const DestinationStatistics all = OfDestination(freed.id);
  gone_ += all;
  if (freed.id >= next_life_) sum_ += all;  // Estimate had not come by
  lives_[freed.id] = {};
}

DestinationStatistics ServiceStatistics::OfDestination(DestinationId id) const {
  DestinationStatistics statistics = read_(id);
  if (id < lives_.size()) statistics -= lives_[id].at_start;
  return statistics;
}

DestinationStatistics ServiceStatistics::OfService(const ServiceKey& key) const {
  const auto found = records_.find(key);
  if (found == records_.end()) return {};
  DestinationStatistics sum = found->second.former;
  for (const DestinationId id : found->second.members) sum += OfDestination(id);
  return sum;
}

std::optional<std::set<DestinationId>> ServiceStatistics::MembersOf(const ServiceKey& key) const {
  const auto found = records_.find(key);
  if (found == records_.end()) return std::nullopt;
  return found->second.members;
}

bool ServiceStatistics::Zero(const ServiceKey& key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return false;
  ZeroRecord(found->second);
  return true;
}

void ServiceStatistics::ZeroAll() {
  for (auto& [key, record] : records_) ZeroRecord(record);
  total_.Zero();
}

// What has been counted stays in the total.
void ServiceStatistics::ZeroRecord(Record& record) {
  for (const DestinationId id : record.members) {
    const DestinationStatistics until_now = OfDestination(id);
    gone_ += until_now;
    if (id >= next_life_) sum_ += until_now;
    lives_[id].at_start += until_now;
    lives_[id].now = {};
    lives_[id].estimator = {};
  }
  record.former = {};
  record.estimator = {};
}

bool ServiceStatistics::Estimate(size_t most) {
  if (next_life_ == 0 && !last_record_) sum_ = gone_;
  for (; next_life_ < lives_.size() && most > 0; ++next_life_, --most) {
    Life& life = lives_[next_life_];
    if (life.number == 0) continue;
    life.now = read_(next_life_);
    life.now -= life.at_start;
    life.estimator.Update(life.now);
    sum_ += life.now;
  }
  auto record = last_record_ ? records_.upper_bound(*last_record_) : records_.begin();
  for (; record != records_.end() && most > 0; ++record, --most) {
    DestinationStatistics sum = record->second.former;
    for (const DestinationId id : record->second.members) sum += lives_[id].now;
    record->second.estimator.Update(sum);
    last_record_ = record->first;
  }
  if (most == 0) return false;
  total_.Update(sum_);
  next_life_ = 0;
  last_record_.reset();
  return true;
}

DestinationStatistics ServiceStatistics::RatesOfDestination(DestinationId id) const {
  return id < lives_.size() ? lives_[id].estimator.Rates() : DestinationStatistics();
}

DestinationStatistics ServiceStatistics::RatesOfService(const ServiceKey& key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? DestinationStatistics() : found->second.estimator.Rates();
}

}  // namespace sluice
