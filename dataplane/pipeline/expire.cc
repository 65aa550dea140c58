// Expiry: what the timer wheel says may be over is over, or is filed again.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/pipeline.h"

namespace sluice {

int ExpireConnections(Worker& worker) {
  // As many as a burst has packets: expiry keeps up with any rate of new connections, and delays a burst
  // by no more than another burst.
  uint32_t due[kBurst];
  const int count = worker.wheel.TakeDue(worker.now, due, kBurst);
  for (int i = 0; i < count; ++i) __builtin_prefetch(&worker.connections.ByIndex(due[i]));
  for (int i = 0; i < count; ++i) {
    Connection& connection = worker.connections.ByIndex(due[i]);
    if (!HasPassed(connection.deadline, worker.now)) {
      connection.filed_for = worker.wheel.File(due[i], connection.deadline);
      continue;
    }
    RemoveConnection(worker, connection);
    worker.counters.Add(Counter::kConnectionsExpired);
  }
  return count;
}

}  // namespace sluice
