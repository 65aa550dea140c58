// The questions to a worker for some of its connections, for that of a flow, and to lend or forget some.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "dataplane/conn/connection.h"
#include "dataplane/pipeline/announce.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/runtime/connection_status.h"
#include "dataplane/runtime/question.h"

namespace sluice {

inline EndAddresses AllAddressesOf(const Worker& worker, const Connection& connection) {
  const IpAddress& destination = worker.destinations.address(connection.destination_id);
  if (!connection.IsV6()) {
    return {IpAddress::FromV4(connection.local), destination, IpAddress::FromV4(connection.virtual_address),
            IpAddress::FromV4(connection.client)};
  }
  const ConnectionAddresses& addresses = worker.connections.AddressesOf(connection);
  return {IpAddress::FromV6(addresses.local), destination, IpAddress::FromV6(addresses.virtual_address),
          IpAddress::FromV6(addresses.client)};
}

// Which connections a worker has, some at a time.
class ConnectionQuery final : public Question {
 public:
  static constexpr int kRoom = 256;
  static constexpr uint32_t kLooks = 4096;  // at most, at slots that may be empty

  uint32_t next_index = 1;  // where to go on
  bool at_end = false;
  Jiffies now = 0;
  int count = 0;
  std::array<Connection, kRoom> connections;
  std::array<EndAddresses, kRoom> addresses;

  void Answer(Worker& worker) override {
    count = 0;
    now = worker.now;
    const uint32_t end = worker.connections.IndexEnd();
    uint32_t index = next_index;
    for (uint32_t looks = 0; index < end && looks < kLooks && count < kRoom; ++index, ++looks) {
      if (!worker.connections.IsInUse(index)) continue;
      const Connection& connection = worker.connections.ByIndex(index);
      connections[count] = connection;
      addresses[count] = AllAddressesOf(worker, connection);
      ++count;
    }
    next_index = index;
    at_end = index >= end;
  }
};

// Connections that another balancer can be told of, some at a time: open ones, or those being opened.
class UpdateQuery final : public Question {
 public:
  static constexpr int kRoom = 256;
  static constexpr uint32_t kLooks = 4096;

  explicit UpdateQuery(bool half_open) : half_open_(half_open) {}

  uint32_t next_index = 1;  // where to go on
  bool at_end = false;
  int count = 0;
  std::array<SyncUpdate, kRoom> updates;

  void Answer(Worker& worker) override {
    count = 0;
    const uint32_t end = worker.connections.IndexEnd();
    for (uint32_t looks = 0; next_index < end && looks < kLooks && count < kRoom; ++next_index, ++looks) {
      if (!worker.connections.IsInUse(next_index)) continue;
      Connection& connection = worker.connections.ByIndex(next_index);
      if (IsHalfOpen(connection) != half_open_ || !CanBeAnnounced(worker, connection)) continue;
      connection.flags |= kConnectionAnnounced;
      updates[count++] = UpdateOf(worker, connection);
    }
    at_end = next_index >= end;
  }

 private:
  const bool half_open_;
};

// The connection of a packet with these addresses, from either side, and where packets to `towards` leave.
class FlowQuery final : public Question {
 public:
  FlowKey flow;
  IpAddress towards;

  Jiffies now = 0;
  bool found = false;
  Direction direction = Direction::kIn;
  Connection connection;
  EndAddresses addresses;
  NextHop hop;

  void Answer(Worker& worker) override {
    const bool is_v6 = !flow.source.IsV4();
    const FlowTuple tuple =
        FlowTuple::Of(AddressWord(flow.source, worker.secret), AddressWord(flow.destination, worker.secret),
                      flow.source_port, flow.destination_port, flow.protocol, is_v6);
    now = worker.now;
    hop = worker.forwarding->hop(worker.forwarding->Resolve(towards, worker.connections.Hash(tuple)));
    const ConnectionEntry entry = worker.connections.Search(tuple, {flow.source.V6(), flow.destination.V6()},
                                                            worker.connections.Hash(tuple));
    found = entry != 0;
    if (!found) return;
    connection = worker.connections.At(entry);
    direction = ConnectionTable::DirectionOf(entry);
    addresses = AllAddressesOf(worker, worker.connections.At(entry));
  }
};

// What another balancer was told of is lent to it.
class LendConnections final : public Question {
 public:
  static constexpr uint32_t kLooks = 4096;

  uint32_t next_index = 1;  // where to go on
  bool at_end = false;

  void Answer(Worker& worker) override {
    const uint32_t end = worker.connections.IndexEnd();
    for (uint32_t looks = 0; next_index < end && looks < kLooks; ++next_index, ++looks) {
      if (!worker.connections.IsInUse(next_index)) continue;
      Connection& connection = worker.connections.ByIndex(next_index);
      if (!connection.Has(kConnectionAnnounced)) continue;
      connection.flags &= static_cast<uint16_t>(~kConnectionAnnounced);
      connection.flags |= kConnectionLent;
    }
    at_end = next_index >= end;
  }
};

// Forgets some connections, as many at a time as a burst may wait for.
class ForgetConnections final : public Question {
 public:
  static constexpr int kAtOnce = 64;
  static constexpr uint32_t kLooks = 4096;

  explicit ForgetConnections(std::function<bool(const Connection&)> which) : which_(std::move(which)) {}

  uint32_t next_index = 1;  // where to go on
  bool at_end = false;
  uint64_t forgotten = 0;

  void Answer(Worker& worker) override {
    const uint32_t end = worker.connections.IndexEnd();
    int count = 0;
    for (uint32_t looks = 0; next_index < end && looks < kLooks && count < kAtOnce; ++next_index, ++looks) {
      if (!worker.connections.IsInUse(next_index)) continue;
      Connection& connection = worker.connections.ByIndex(next_index);
      if (!which_(connection)) continue;
      DropConnection(worker, connection);
      ++count;
    }
    forgotten += static_cast<uint64_t>(count);
    at_end = next_index >= end;
  }

 private:
  const std::function<bool(const Connection&)> which_;
};

}  // namespace sluice
