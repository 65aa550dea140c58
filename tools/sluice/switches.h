// The commands of `sluice` that decide who forwards. Each returns what to exit with.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/sluice/arguments.h"
#include "tools/sluice/client.h"

namespace sluice {

int Release(SluiceClient& client, const Arguments& arguments);
int TakeOver(SluiceClient& client, const Arguments& arguments);
// The kernel for some seconds, then Sluice again; and what came of it.
int Drill(SluiceClient& client, const Arguments& arguments);

}  // namespace sluice
