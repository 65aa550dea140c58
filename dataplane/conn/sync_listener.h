// Who can be told of a connection at once, so that it is known before its first packet goes on.
// Threads: Tell by workers, several at a time; it does not wait.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/conn/sync_update.h"

namespace sluice {

class SyncListener {
 public:
  // False: not now; the update must wait in the queue.
  virtual bool Tell(const SyncUpdate& update) = 0;

 protected:
  ~SyncListener() = default;
};

}  // namespace sluice
