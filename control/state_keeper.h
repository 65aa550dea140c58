// Brings accepted changes to disk, from a thread of its own: while some are being synced, those that follow
// gather and are synced together.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "control/mutex.h"
#include "control/state_file.h"

namespace sluice {

class StateKeeper {
 public:
  // `whole`: the configuration as it is; called by the thread, after what it holds was submitted.
  StateKeeper(std::unique_ptr<StateFile> file, std::function<v1::ConfigDiff()> whole);
  ~StateKeeper();  // keeps what was submitted

  void Submit(v1::ConfigDiff change);
  // Returns when this generation is on disk, or why it is not.
  absl::Status WaitFor(uint64_t generation);

 private:
  void Run();

  const std::unique_ptr<StateFile> file_;
  const std::function<v1::ConfigDiff()> whole_;

  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<v1::ConfigDiff> pending_ ABSL_GUARDED_BY(mutex_);
  uint64_t tried_ ABSL_GUARDED_BY(mutex_) = 0;  // up to this generation
  absl::Status last_ ABSL_GUARDED_BY(mutex_);   // how that ended

  std::thread thread_;
};

}  // namespace sluice
