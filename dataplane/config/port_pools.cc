// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/port_pools.h"

#include <set>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

PortPoolKey KinKeyOf(const PortPoolKey& key) {
  return {key.local, {key.server.address, Be16{}, key.server.protocol}};
}

}  // namespace

PortPool* PortPools::Retain(const PortPoolKey& key, bool to_any_port) {
  Entry& entry = entries_[key];
  ++entry.references;
  entry.was_idle = false;
  if (entry.pool == nullptr) Make(key, entry);
  if (to_any_port) entry.kin->AddAnyPort();
  if (key.server.port != Be16{}) entry.kin->AddOwnPort();
  return entry.pool.get();
}

void PortPools::Make(const PortPoolKey& key, Entry& entry) {
  std::weak_ptr<const LocalPorts>& known = ports_[{key.local, key.server.protocol}];
  std::shared_ptr<const LocalPorts> ports = known.lock();
  if (ports == nullptr) {
    ports = std::make_shared<LocalPorts>(key.local, key.server.protocol, owners_);
    known = ports;
  }
  std::weak_ptr<PortPoolKin>& known_kin = kin_[KinKeyOf(key)];
  entry.kin = known_kin.lock();
  if (entry.kin == nullptr) {
    entry.kin = std::make_shared<PortPoolKin>();
    known_kin = entry.kin;
  }
  entry.pool = std::make_shared<PortPool>(ports, entry.kin);
  changed_ = true;
}

void PortPools::Release(const PortPoolKey& key) {
  const auto found = entries_.find(key);
  SLUICE_CHECK(found != entries_.end() && found->second.references > 0);
  --found->second.references;
}

// If no service of the snapshot before this one has had a pool, no worker can take a port of it.
std::shared_ptr<const PortPoolIndex> PortPools::Index() {
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (entry.was_idle && entry.pool->taken() == 0) {
      const PortPoolKey key = at->first;
      at = entries_.erase(at);
      if (const auto kin = kin_.find(KinKeyOf(key)); kin->second.expired()) kin_.erase(kin);
      changed_ = true;
    } else {
      entry.was_idle = entry.references == 0;
      ++at;
    }
  }
  if (!changed_) return index_;
  changed_ = false;
  auto index = std::make_shared<PortPoolIndex>();
  for (const auto& [key, entry] : entries_) index->emplace(key, entry.pool);
  index_ = entries_.empty() ? nullptr : std::move(index);
  return index_;
}

std::vector<IpAddress> PortPools::Addresses() const {
  std::set<IpAddress> addresses;
  for (const auto& [key, entry] : entries_) addresses.insert(key.local);
  return {addresses.begin(), addresses.end()};
}

}  // namespace sluice
