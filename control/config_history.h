// The latest changes of the configuration, for those who follow it: as many as a bound on their number and
// size allows.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "control/mutex.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConfigHistory {
 public:
  using Entry = std::shared_ptr<const v1::WatchConfigResponse>;

  explicit ConfigHistory(size_t most_entries = 1000, size_t most_bytes = 16 << 20)
      : most_entries_(most_entries), most_bytes_(most_bytes) {}

  // Generations follow one another without gaps.
  void Add(v1::WatchConfigResponse change);

  struct News {
    bool known = false;  // false: whoever is at that generation must be told everything
    std::vector<Entry> changes;
  };
  // What came after a generation; waits until `end` for something to come.
  News After(uint64_t generation, std::chrono::steady_clock::time_point end);

 private:
  const size_t most_entries_;
  const size_t most_bytes_;
  Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t forgotten_until_ ABSL_GUARDED_BY(mutex_) = 0;  // the generation before the first entry
  uint64_t latest_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice
