// Who forwards, Sluice or the kernel's IPVS: keeps the kernel ready by a mirror and a sync master, takes its
// connections over, and gives everything back.
// Threads: any, but for Start.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config_store.h"
#include "control/ipvs/connection_list.h"
#include "control/ipvs/mirror.h"
#include "control/ipvs/sync_master.h"
#include "control/mutex.h"
#include "control/options.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

struct HandoverOptions {
  KernelIpvsUse use = KernelIpvsUse::kAuto;
  Mirror::Options mirror;
  SyncMaster::Options sync;
  bool adopt = true;                  // the kernel's connections, at the start, and those that were saved
  OnStall on_stall = OnStall::kAuto;  // what becomes of packets while a worker stands still
  // Where connections are saved that nobody else has, from an orderly end to the next start; empty: nowhere.
  std::string saved;
};

class Handover {
 public:
  // The configuration is published, and packets are the kernel's yet; they are Sluice's when this returns.
  // That the kernel has no IPVS, or that somebody else programs it, is said, and no reason not to go on.
  static std::unique_ptr<Handover> Start(const HandoverOptions& options, ConfigStore& store,
                                         Publisher& publisher, Dataplane& dataplane);

  // The kernel forwards from now on.
  absl::StatusOr<v1::ReleaseResponse> Release();
  // Sluice forwards from now on, with the connections the kernel has; if wanted, with its services.
  absl::StatusOr<v1::TakeoverResponse> TakeOver(const v1::TakeoverRequest& request);
  // Before an orderly end: the kernel forwards, if it can, and knows everything.
  void End();
  absl::Status StartDaemon(const v1::SyncDaemon& daemon);
  absl::Status StopDaemon();
  void Describe(v1::KernelMirror& mirror);
  // Why packets of a worker that stands still are the kernel's, or dropped.
  std::string WhyStalled();

 private:
  Handover(const HandoverOptions& options, ConfigStore& store, Publisher& publisher, Dataplane& dataplane)
      : options_(options), store_(store), publisher_(publisher), dataplane_(dataplane) {}
  // Null: there is none.
  struct Parts {
    std::shared_ptr<Mirror> mirror;
    std::shared_ptr<SyncMaster> sync;
  };
  Parts Now();
  absl::Status Check();
  absl::Status CheckPorts() const;
  void StartMirror() ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_);
  absl::Status StartSync(const SyncMaster::Options& options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_);
  absl::Status TakeServices(v1::Owner owner, v1::TakeoverResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_);
  absl::StatusOr<Dataplane::AdoptedCounts> Adopt(absl::StatusOr<std::vector<ListedConnection>> connections)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_);
  void AdoptAtStart() ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_);
  // What the kernel has not been told of: with full NAT, or, without a kernel that listens, all.
  std::vector<ListedConnection> OnlyHere(bool all);
  void HoldFullNat(const Parts& parts);
  void Switch(const Parts& parts);
  // The mirror has the kernel in step with the configuration, or has not.
  void NoteStep(bool in_step);
  void SettleStall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const HandoverOptions options_;
  ConfigStore& store_;
  Publisher& publisher_;
  Dataplane& dataplane_;

  Mutex switching_;  // held for as long as a switch takes, which may be seconds
  Mutex mutex_;      // never for long: whoever asks how things are does not wait for a switch
  std::string why_off_ ABSL_GUARDED_BY(mutex_);  // why there is no mirror
  // The mirror tells of them until it ends, so they outlive it.
  bool in_step_ ABSL_GUARDED_BY(mutex_) = false;
  std::string why_stalled_ ABSL_GUARDED_BY(mutex_);
  Parts parts_ ABSL_GUARDED_BY(mutex_);
  uint64_t adopted_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice
