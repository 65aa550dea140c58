// All pools of ports that services or their connections use, shared by services with the same real servers.
// Threads: the control thread; workers use what Index names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/config/local_ports.h"

namespace sluice {

using PortPoolIndex = std::unordered_map<PortPoolKey, std::shared_ptr<PortPool>, PortPoolKeyHash>;

class PortPools {
 public:
  explicit PortPools(const FlowOwners& owners) : owners_(owners) {}

  // Makes it if need be. It lives until it was released as often and no connection has a port of it.
  // `to_any_port`: for connections to other ports of the server, too.
  PortPool* Retain(const PortPoolKey& key, bool to_any_port);
  void Release(const PortPoolKey& key);
  // Those that are used, and nothing that a worker could take meanwhile. nullptr: there are none.
  std::shared_ptr<const PortPoolIndex> Index();
  // Their local addresses, sorted.
  std::vector<IpAddress> Addresses() const;

 private:
  struct Entry {
    std::shared_ptr<PortPool> pool;
    std::shared_ptr<PortPoolKin> kin;
    uint32_t references = 0;
    bool was_idle = false;  // had no references when Index was called last
  };

  void Make(const PortPoolKey& key, Entry& entry);

  const FlowOwners owners_;
  std::map<std::pair<IpAddress, Protocol>, std::weak_ptr<const LocalPorts>> ports_;
  // By KinKeyOf.
  std::unordered_map<PortPoolKey, std::weak_ptr<PortPoolKin>, PortPoolKeyHash> kin_;
  std::unordered_map<PortPoolKey, Entry, PortPoolKeyHash> entries_;
  std::shared_ptr<const PortPoolIndex> index_;
  bool changed_ = false;
};

}  // namespace sluice
