// A question to a worker, answered between two of its rounds. The asker provides the room, so that the worker
// allocates nothing; an answer takes a bounded time.
// Threads: filled by the worker, then `answered` is set and it is the asker's again.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "dataplane/pipeline/worker.h"

namespace sluice {

class Question {
 public:
  virtual ~Question() = default;
  virtual void Answer(Worker& worker) = 0;

  std::atomic<bool> answered{false};
};

}  // namespace sluice
