// The one road for changes: checks them against the rules and the present configuration, keeps what is
// wanted, and has it published. A request is applied whole or not at all.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config_history.h"
#include "control/desired_state.h"
#include "control/mutex.h"
#include "control/publisher.h"
#include "control/state_keeper.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConfigStore {
 public:
  explicit ConfigStore(Publisher& publisher) : publisher_(publisher) {}

  // Before anything is applied: takes up what an earlier sluiced has kept, all of it or, with an error,
  // nothing.
  absl::Status Restore(const v1::ConfigDiff& kept);
  // From now on what is applied is on disk when Apply returns, or it warns.
  void KeepIn(std::unique_ptr<StateFile> file);

  // When it returns OK the workers use the new configuration. An error carries Refusals.
  absl::StatusOr<v1::ApplyResponse> Apply(const v1::ApplyRequest& request);

  v1::GetConfigResponse Config() const;
  uint64_t generation() const;
  bool drained() const;
  // What a watcher must be told who has a generation already (0: none): nothing, if nothing came until `end`.
  // The workers use all of it.
  std::vector<ConfigHistory::Entry> NewsAfter(std::optional<uint64_t> generation,
                                              std::chrono::steady_clock::time_point end);
  // The destinations of a service, by id; an error carries Refusals.
  absl::StatusOr<std::vector<bool>> MembersOf(const v1::ServiceKey& service, const std::string& field) const;
  // The ports that full NAT has taken, by local address.
  std::vector<v1::LocalAddressInfo> LocalAddresses() const;
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& request) const;
  absl::Status ZeroStatistics(const v1::ZeroStatisticsRequest& request);

 private:
  absl::StatusOr<v1::ApplyResponse> Commit(const v1::ApplyRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckRoom(size_t destinations, Problems& problems);
  static void CheckMemory(size_t request_bytes, Problems& problems);
  v1::ConfigDiff Whole() const;
  v1::ConfigDiff DiffOf(const std::map<ServiceKey, std::optional<v1::Service>>& touched, bool global) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddStatuses(const Snapshot& snapshot, v1::ListServicesResponse& response) const;
  v1::ServiceStatus StatusOf(const v1::Service& service, const ServiceKey& key,
                             const Snapshot& snapshot) const;

  Publisher& publisher_;
  mutable Mutex mutex_;
  DesiredState state_ ABSL_GUARDED_BY(mutex_);
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  ConfigHistory history_;
  std::unique_ptr<StateKeeper> keeper_;  // null: nothing is kept
};

}  // namespace sluice
