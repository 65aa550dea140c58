// Brings accepted changes to the workers, from a thread of its own: while one snapshot is on its way, the
// changes that follow gather and make the next one together.
// Threads: Submit by one at a time; the rest by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "control/mutex.h"
#include "control/service_statistics.h"
#include "dataplane/config/snapshot_builder.h"

namespace sluice {

// The data path, as far as a publisher knows it.
struct PublishTarget {
  DestinationTable* destinations = nullptr;
  // Returns when the workers use it.
  std::function<absl::Status(std::shared_ptr<const Snapshot>)> publish;
  std::function<DestinationStatistics(DestinationId)> statistics;
  // Real servers that came (true) or went; those that were removed go when their last connection has.
  std::function<void(const std::map<IpAddress, bool>&)> keep_resolved;
  FlowOwners owners = {};  // which worker has a flow
  bool own_time = false;   // KeepTime is called from outside: for simulations
};

class Publisher {
 public:
  struct Change {
    uint64_t generation = 0;
    std::map<ServiceKey, std::optional<ServiceSpec>> services;  // nullopt: deleted
    std::optional<GlobalSpec> global;                           // nullopt: as before
    size_t added_destinations = 0;
  };

  explicit Publisher(PublishTarget target);
  ~Publisher();

  // Whether the data path can take so many more destinations.
  bool HasRoomFor(size_t destinations);
  void Submit(Change change);
  // Returns when the workers use this generation.
  void WaitFor(uint64_t generation);

  // What the workers use, and its numbers.
  struct View {
    std::shared_ptr<const Snapshot> snapshot;
    uint64_t generation = 0;
  };
  View Current();
  DestinationStatistics StatisticsOf(const ServiceKey& service);
  DestinationStatistics StatisticsOf(DestinationId id);
  DestinationStatistics RatesOf(const ServiceKey& service);
  DestinationStatistics RatesOf(DestinationId id);
  DestinationStatistics TotalRates();
  // The destinations that a service has or, while connections go there, had, by id; none: there is no such
  // service.
  std::optional<std::vector<bool>> MembersOf(const ServiceKey& service);
  // Begin at zero; false: there is no such service.
  bool ZeroStatistics(const ServiceKey& service);
  void ZeroAllStatistics();

  // Does what time demands: ends drains, estimates rates, empties the trash. The thread does it by the clock,
  // unless the target has its own time: then whoever made it calls this, at least every second of that.
  void KeepTime(std::chrono::steady_clock::time_point now);

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Build(const Change& change);
  void DoWhatIsDue(Clock::time_point now);
  void EmptyTrash(Clock::time_point now);
  void Publish(uint64_t generation);
  void TellRealServers(const Snapshot& snapshot);

  const PublishTarget target_;
  SnapshotBuilder builder_;  // the thread's own
  // When each is due next; the thread's own.
  Clock::time_point end_drains_at_{};
  Clock::time_point estimate_at_{};
  Clock::time_point empty_trash_at_{};
  bool estimating_ = false;  // in steps, so that no change waits for all of it

  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Clock::time_point> told_time_ ABSL_GUARDED_BY(mutex_);  // by KeepTime
  bool has_pending_ ABSL_GUARDED_BY(mutex_) = false;
  Change pending_ ABSL_GUARDED_BY(mutex_);
  size_t unbuilt_destinations_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t free_destinations_ ABSL_GUARDED_BY(mutex_) = 0;
  View view_ ABSL_GUARDED_BY(mutex_);
  ServiceStatistics statistics_ ABSL_GUARDED_BY(mutex_);
  bool estimates_ ABSL_GUARDED_BY(mutex_) = true;  // run_estimation

  std::thread thread_;
};

}  // namespace sluice
