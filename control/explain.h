// What would become of a packet, in the steps that the data path takes. Nothing is sent, and nothing changes.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/snapshot.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice::v1 {
class ExplainResponse;
}  // namespace sluice::v1

namespace sluice {

// Of TCP and SCTP: a packet of the connection there is, or one that opens it.
v1::ExplainResponse Explain(const FlowKey& flow, const Snapshot& snapshot, Dataplane& dataplane);

}  // namespace sluice
