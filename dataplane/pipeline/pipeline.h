// The burst loop's body.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

// Takes batch.packet[0..count) along the whole road; afterwards every packet is in worker.output or freed.
void ProcessBurst(Worker& worker, Batch& batch);

// After a burst, and after its output was emptied: fills `batch` with fragments whose first was in it, to be
// processed as a burst of their own. False: there are none.
bool TakeReleased(Worker& worker, Batch& batch);

// What must be done whether packets come or not, a bounded part of it: expiry above all. Returns how many
// connections and templates were looked at; 0: nothing is left to do now.
int KeepHouse(Worker& worker);

}  // namespace sluice
