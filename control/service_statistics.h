// Statistics and rates of services and destinations. Workers count by destination id and never reset; ids
// are used again after a destination has gone. This keeps where each life of an id began, and what a
// service's former destinations have contributed.
// Threads: the caller's lock.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "control/rate_estimator.h"
#include "dataplane/config/service.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

class ServiceStatistics {
 public:
  // `read`: what the workers have counted for an id since the start.
  ServiceStatistics(const DestinationTable& destinations,
                    std::function<DestinationStatistics(DestinationId)> read)
      : destinations_(destinations), read_(std::move(read)) {}

  // A service came or changed; not yet published.
  void Follow(const Service& service);
  void Forget(const ServiceKey& key) { records_.erase(key); }
  // An id is about to be free for another destination.
  void Freed(const SnapshotBuilder::Freed& freed);

  DestinationStatistics OfDestination(DestinationId id) const;
  DestinationStatistics OfService(const ServiceKey& key) const;

  // Those that a service has, and those removed that connections still go to; none: there is no such service.
  std::optional<std::set<DestinationId>> MembersOf(const ServiceKey& key) const;

  // They count from now on, with their destinations; false: there is no such service.
  bool Zero(const ServiceKey& key);
  void ZeroAll();

  // Rates are as of the last time that Estimate was through; it should be every two seconds. It goes `most`
  // destinations or services on. True: through, and the next call begins anew.
  bool Estimate(size_t most);
  DestinationStatistics RatesOfDestination(DestinationId id) const;
  DestinationStatistics RatesOfService(const ServiceKey& key) const;
  DestinationStatistics TotalRates() const { return total_.Rates(); }

 private:
  struct Life {
    uint32_t number = 0;  // 0: nobody lives there
    DestinationStatistics at_start;
    DestinationStatistics now;  // when Estimate last came by
    RateEstimator estimator;
  };
  struct Record {
    DestinationStatistics
        former;  // of destinations that have gone; less what those that came brought with them
    std::set<DestinationId> members;  // those that were removed but may come back, too
    RateEstimator estimator;
  };

  void ZeroRecord(Record& record);

  const DestinationTable& destinations_;
  std::function<DestinationStatistics(DestinationId)> read_;
  std::deque<Life> lives_;  // by id, in the order of the workers' counters
  std::map<ServiceKey, Record> records_;
  DestinationStatistics gone_;  // of lives that have ended
  RateEstimator total_;
  // Where Estimate is: lives first, then services.
  DestinationId next_life_ = 0;
  std::optional<ServiceKey> last_record_;
  DestinationStatistics sum_;
};

}  // namespace sluice
