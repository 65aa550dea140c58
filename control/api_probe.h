// ApiProbe asks sluiced's own API over a new connection every few seconds, as a stranger would: a server that takes no
// connections any more looks well from inside.
// Threads: any may ask; a thread of its own calls.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "control/metrics/readiness.h"
#include "control/mutex.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace sluice {

class ApiProbe {
 public:
  using Clock = std::chrono::steady_clock;

  // `target` is the Unix socket's, "unix:PATH". It is asked for the first time before this returns.
  explicit ApiProbe(const std::string& target);
  ~ApiProbe();

  // Bad until the API has answered, and when it has not for a while.
  Verdict Health() const;

 private:
  void Run();
  void Ask();

  const std::string target_;
  mutable Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Clock::time_point valid_until_ ABSL_GUARDED_BY(mutex_){};
  std::string trouble_ ABSL_GUARDED_BY(mutex_) = "it was not asked yet";
  std::thread thread_;
};

}  // namespace sluice
