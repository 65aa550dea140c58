// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/pipeline.h"

#include "dataplane/pipeline/stages.h"

namespace sluice {

// The life of a burst. Every stage gets the lanes it must handle, gives a verdict to those that leave the
// road here, and returns the lanes named on the left. A lane without a verdict at the end is a bug;
// Transmit checks it.
void ProcessBurst(Worker& worker, Batch& batch) {
  const LaneMask parsed = Parse(worker, batch, batch.all());
  const LaneMask ours = Classify(worker, batch, parsed);        // rest: the kernel's
  const LaneMask fresh = Lookup(worker, batch, ours);           // no connection yet
  const LaneMask refused = Schedule(worker, batch, fresh);      // no service, no server, another worker's
  const LaneMask live = Track(worker, batch, ours & ~refused);  // rest: real server removed
  Rewrite(worker, batch, live);                                 // NAT, direct routing or tunnel; next hop
  Answer(worker, batch);                                        // resets and ICMP errors, to the sender
  Transmit(worker, batch);                                      // wire, kernel, peer or free: by verdict
}

bool TakeReleased(Worker& worker, Batch& batch) {
  batch.count = worker.fragments.TakeReleased(batch.packet);
  batch.from_peer = false;
  return batch.count > 0;
}

}  // namespace sluice
