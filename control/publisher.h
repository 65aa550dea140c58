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
  // The real servers, whenever they may have changed.
  std::function<void(std::vector<IpAddress>)> keep_resolved;
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

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Build(const Change& change);
  void EmptyTrash();
  void Publish(uint64_t generation);
  void TellRealServers();

  const PublishTarget target_;
  SnapshotBuilder builder_;  // the thread's own

  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_pending_ ABSL_GUARDED_BY(mutex_) = false;
  Change pending_ ABSL_GUARDED_BY(mutex_);
  size_t unbuilt_destinations_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t free_destinations_ ABSL_GUARDED_BY(mutex_) = 0;
  View view_ ABSL_GUARDED_BY(mutex_);
  ServiceStatistics statistics_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace sluice
