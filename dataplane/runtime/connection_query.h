// A question to a worker for some of its connections. The asker provides the room, so that the worker
// allocates nothing and spends a bounded time.
// Threads: filled by the worker, then `answered` is set and it is the asker's again.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/conn/connection.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

struct ConnectionQuery {
  static constexpr int kRoom = 256;
  static constexpr uint32_t kLooks = 4096;  // at most, at slots that may be empty

  uint32_t next_index = 1;  // where to go on
  bool at_end = false;
  Jiffies now = 0;
  int count = 0;
  std::array<Connection, kRoom> connections;
  std::array<ConnectionAddresses, kRoom> addresses;  // of either family
  std::atomic<bool> answered{false};
};

// In tunnels a real server may be of the other family than its clients.
inline ConnectionAddresses AllAddressesOf(const Worker& worker, const Connection& connection) {
  const IpAddress& destination = worker.destinations.address(connection.destination_id);
  if (!connection.IsV6()) {
    return {IpAddress::FromV4(connection.local), destination, IpAddress::FromV4(connection.virtual_address),
            IpAddress::FromV4(connection.client)};
  }
  ConnectionAddresses addresses = worker.connections.AddressesOf(connection);
  addresses.destination = destination;
  return addresses;
}

inline void Answer(const Worker& worker, ConnectionQuery& query) {
  query.count = 0;
  query.now = worker.now;
  const uint32_t end = worker.connections.IndexEnd();
  uint32_t index = query.next_index;
  for (uint32_t looks = 0;
       index < end && looks < ConnectionQuery::kLooks && query.count < ConnectionQuery::kRoom;
       ++index, ++looks) {
    if (!worker.connections.IsInUse(index)) continue;
    const Connection& connection = worker.connections.ByIndex(index);
    query.connections[query.count] = connection;
    query.addresses[query.count++] = AllAddressesOf(worker, connection);
  }
  query.next_index = index;
  query.at_end = index >= end;
  query.answered.store(true, std::memory_order_release);
}

}  // namespace sluice
