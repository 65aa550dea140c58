// The commands of `sluice` that ask sluiced. Each returns what to exit with.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tools/sluice/arguments.h"
#include "tools/sluice/client.h"

namespace sluice {

int ShowStatus(SluiceClient& client, const Arguments& arguments);
int ShowStats(SluiceClient& client, const Arguments& arguments);
int GetConfig(SluiceClient& client, const Arguments& arguments);
// With `only_tell`: what would change.
int ApplyConfig(SluiceClient& client, const Arguments& arguments, bool only_tell);
// A real server, or this node.
int Drain(SluiceClient& client, const Arguments& arguments);

}  // namespace sluice
