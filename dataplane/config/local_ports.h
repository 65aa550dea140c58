// The ports that full NAT gives to connections: of a local address, towards one real server. A port belongs
// to the worker that the server's answer to it leads to, so that workers never meet.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/net/endpoint.h"
#include "dataplane/net/flow_hash.h"

namespace sluice {

// The ports of a local address in one protocol, dealt out to workers. Well-known ports are nobody's.
// Threads: a value; built by control, read by all.
class LocalPorts {
 public:
  static constexpr uint32_t kFirst = 1024;
  static constexpr uint32_t kCount = 65536 - kFirst;

  LocalPorts(const IpAddress& address, Protocol protocol, const FlowOwners& owners);

  const std::vector<uint16_t>& OfWorker(int worker) const { return of_worker_[worker]; }
  size_t workers() const { return of_worker_.size(); }
  // Where a port is among those of its worker.
  uint16_t PlaceOf(uint16_t port) const { return place_[port]; }

 private:
  std::vector<std::vector<uint16_t>> of_worker_;
  std::array<uint16_t, 65536> place_{};
};

// Pools of the same local address towards the same real server share this: one that gives ports for
// connections to any port of the server may meet the others. Those are of destinations without a port of
// their own, and of persistent services of several ports, which keep the port that the client asked for.
// Threads: Add... the control thread; MayMeet anyone.
class PortPoolKin {
 public:
  void AddAnyPort() { has_any_port_.store(true, std::memory_order_relaxed); }
  void AddOwnPort() { has_own_port_.store(true, std::memory_order_relaxed); }
  bool MayMeet() const {
    return has_any_port_.load(std::memory_order_relaxed) && has_own_port_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> has_any_port_{false};
  std::atomic<bool> has_own_port_{false};
};

// Which of them are taken, towards one real server. A port that was given back is taken again last, so that
// the server's memory of its connection has the most time to go.
// Threads: each worker its own ports; free() anyone.
class PortPool {
 public:
  PortPool(std::shared_ptr<const LocalPorts> ports, std::shared_ptr<const PortPoolKin> kin);

  // Nothing: none is free.
  std::optional<Be16> Take(int worker);
  // This one. False: it is taken, or not this worker's.
  bool TakeThis(int worker, Be16 port);
  void Give(int worker, Be16 port);

  // Whether a connection may have a port that no pool but another one knows of.
  bool MayMeetOthers() const { return kin_->MayMeet(); }

  uint32_t taken() const;
  uint32_t free() const { return LocalPorts::kCount - taken(); }

 private:
  struct alignas(64) Part {
    std::vector<uint64_t> bits;  // by place; set: taken, or no place
    uint32_t next = 0;           // the place to look at first
    std::atomic<uint32_t> taken{0};
  };

  const std::shared_ptr<const LocalPorts> ports_;
  const std::shared_ptr<const PortPoolKin> kin_;
  std::vector<Part> parts_;  // by worker
};

// Names a pool. Its server's port is the destination's own, 0 if it has none.
struct PortPoolKey {
  IpAddress local;
  Endpoint server;

  friend bool operator==(const PortPoolKey&, const PortPoolKey&) = default;
};
struct PortPoolKeyHash {
  size_t operator()(const PortPoolKey& key) const {
    return IpAddressHash()(key.local) * 31 + EndpointHash()(key.server);
  }
};

}  // namespace sluice
