// The commands of `sluice` about flows and connections, and the one that follows the configuration. Each
// returns what to exit with.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/sluice/arguments.h"
#include "tools/sluice/client.h"

namespace sluice {

int ListConnections(SluiceClient& client, const Arguments& arguments);
int FlushConnections(SluiceClient& client, const Arguments& arguments);
int ExplainFlow(SluiceClient& client, const Arguments& arguments);
int WatchConfig(SluiceClient& client, const Arguments& arguments);

}  // namespace sluice
