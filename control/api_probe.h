// Asks the API over its own socket, every second and each time by a new connection, and knows whether it
// answers. Threads: one of its own asks; Trouble by any. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "control/mutex.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace sluice {

class ApiProbe {
 public:
  // Asks once before it returns.
  explicit ApiProbe(std::string target);
  ~ApiProbe();

  // Empty: it has answered within the last seconds. Otherwise for how long it has not, and why.
  std::string Trouble() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Ask();

  const std::string target_;
  mutable Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_answered_ ABSL_GUARDED_BY(mutex_) = false;
  Clock::time_point last_answer_ ABSL_GUARDED_BY(mutex_) = Clock::now();
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: nothing is being asked
  std::string error_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace sluice
