// The one road for changes: checks them against the rules and the present configuration, keeps what is
// wanted, and has it published. A request is applied whole or not at all.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/desired_state.h"
#include "control/mutex.h"
#include "control/publisher.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConfigStore {
 public:
  explicit ConfigStore(Publisher& publisher) : publisher_(publisher) {}

  // When it returns OK the workers use the new configuration. An error carries Refusals.
  absl::StatusOr<v1::ApplyResponse> Apply(const v1::ApplyRequest& request);

  v1::GetConfigResponse Config() const;
  uint64_t generation() const;
  // The ports that full NAT has taken, by local address.
  std::vector<v1::LocalAddressInfo> LocalAddresses() const;
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& request) const;

 private:
  absl::StatusOr<v1::ApplyResponse> Commit(const v1::ApplyRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::ServiceStatus StatusOf(const v1::Service& service, const ServiceKey& key,
                             const Snapshot& snapshot) const;

  Publisher& publisher_;
  mutable Mutex mutex_;
  DesiredState state_ ABSL_GUARDED_BY(mutex_);
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice
