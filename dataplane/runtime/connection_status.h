// Connections and templates as lists show them.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/conn/connection.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

// The addresses of a connection of either family; in tunnels a real server may be of the other one than its
// clients.
struct EndAddresses {
  IpAddress local;
  IpAddress destination;
  IpAddress virtual_address;
  IpAddress client;
};

ConnectionStatus StatusOf(const Connection& connection, const EndAddresses& addresses, Jiffies now,
                          int worker);
// As the kernel shows them: without a port of the client; one that is no longer to be used under a port that
// nobody asks for.
ConnectionStatus StatusOf(const Template& each, Jiffies now);

}  // namespace sluice
