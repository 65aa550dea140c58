// The burst loop's body.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

// Takes batch.packet[0..count) along the whole road; afterwards every packet is in worker.output or freed.
void ProcessBurst(Worker& worker, Batch& batch);

// Removes connections whose time is up, a bounded number of them. Returns how many were looked at.
int ExpireConnections(Worker& worker);

}  // namespace sluice
