// Connections and templates as lists show them.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/conn/connection.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

ConnectionStatus StatusOf(const Connection& connection, const ConnectionAddresses& addresses, Jiffies now,
                          int worker);
// As the kernel shows them: without a port of the client; one that is no longer to be used under a port that
// nobody asks for.
ConnectionStatus StatusOf(const Template& each, Jiffies now);

}  // namespace sluice
