// Tells the kernel's IPVS of our live connections, as a director with a synchronisation daemon tells its
// backup: starts the kernel's backup daemon on an interface of our own, sends it what workers announce, and
// all there is when the daemon has just begun to listen.
// Threads: has one of its own; the member functions may be called by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/ipvs/kernel_ipvs.h"
#include "control/ipvs/sync_message.h"
#include "control/kernel/dummy_interface.h"
#include "control/mutex.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice::v1 {
class KernelMirror;
}  // namespace sluice::v1

namespace sluice {

class SyncMaster final : private SyncListener {
 public:
  struct Options {
    SyncPolicy policy{.which = SyncPolicy::Which::kAll};
    std::string interface = "sluice-sync0";
    uint8_t sync_id = 83;
    uint32_t records_per_second = 200'000;  // what a kernel surely takes
  };
  static absl::StatusOr<std::unique_ptr<SyncMaster>> Start(const Options& options, Dataplane& dataplane);
  ~SyncMaster();

  // Everything there is, once more; returns when it is sent.
  void TellAll();
  // What is being opened, and, until it is paused, all that will be: a switch is near.
  void TellHalfOpen();
  // What was announced until now; returns when it is sent.
  void TellTheRest();
  // Returns when the kernel has read what was sent, or is too slow.
  void WaitUntilRead() const;
  // While the kernel forwards it knows better.
  void SetPaused(bool paused);
  // The kernel listens no more.
  absl::Status StopDaemon();
  void Describe(v1::KernelMirror& mirror) const;

 private:
  using Clock = std::chrono::steady_clock;

  SyncMaster(const Options& options, Dataplane& dataplane)
      : options_(options), dataplane_(dataplane), message_(options.sync_id) {}
  bool Tell(const SyncUpdate& update) override;
  absl::Status OpenSocket();
  absl::Status HaveDaemon();
  void LookAtDaemon(Clock::time_point now);
  void Run();
  void Send(const SyncUpdate& update);
  void SendMessage();
  void SendConnections(bool half_open);
  // The policy as it is given, and what belongs to the moment.
  void SetPolicy() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Judge(Clock::time_point round, size_t updates);
  void SendTemplates();

  const Options options_;
  Dataplane& dataplane_;
  std::unique_ptr<KernelIpvs> ipvs_;
  std::unique_ptr<DummyInterface> interface_;
  int socket_ = -1;          // one number for the whole life, whatever stands behind it
  int interface_index_ = 0;  // that it sends over
  std::atomic<bool> stop_{false};
  std::atomic<bool> paused_{false};
  std::atomic<bool> is_switch_near_{false};  // what is told late now is a connection that breaks
  std::atomic<bool> is_calm_{false};
  std::atomic<size_t> told_at_once_{0};  // of them the thread does not know yet

  // The thread's own.
  SyncMessage message_;
  Clock::time_point next_message_{};
  bool is_broken_ = false;  // a message could not be sent
  Clock::time_point look_at_{};
  Clock::duration look_after_{};  // while it is in vain
  std::string last_complaint_;
  // How much there is to tell.
  Clock::time_point window_end_{};
  size_t in_window_ = 0;
  size_t in_last_window_ = 0;
  using TemplateName = std::tuple<IpAddress, IpAddress, uint16_t, uint8_t>;
  std::map<TemplateName, uint64_t> told_templates_;  // as they were

  Mutex mutex_;
  uint64_t rounds_ ABSL_GUARDED_BY(mutex_) = 0;  // that are over
  uint64_t wanted_tellings_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_tellings_ ABSL_GUARDED_BY(mutex_) = 0;
  bool half_open_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> told_{0};
  std::atomic<uint64_t> told_all_{0};
  std::atomic<uint64_t> unsent_{0};  // messages

  std::thread thread_;
};

}  // namespace sluice
