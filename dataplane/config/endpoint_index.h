// Finds the service of a virtual endpoint, and tells whether an endpoint is a real server; a table for either
// family, in shards, so that a snapshot has a copy for little.
// Threads: a value; the builder's own copy changes, the copy in a snapshot does not.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/config/flat_table.h"
#include "dataplane/config/service.h"
#include "dataplane/config/shards.h"
#include "dataplane/net/endpoint.h"

namespace sluice {

inline constexpr Be16 kFtpPort = Be16::FromHost(21);

class EndpointIndex {
 public:
  EndpointIndex Share() {
    EndpointIndex copy;
    copy.v4_ = v4_.Share();
    copy.v6_ = v6_.Share();
    copy.any_port_services_ = any_port_services_;
    copy.ftp_services_ = ftp_services_;
    copy.any_port_servers_ = any_port_servers_;
    return copy;
  }

  // In IPVS's order: the service of that very port; the FTP service, for its data connections; the service of
  // every port.
  const Service* FindService(const IpAddress& address, Be16 port, Protocol protocol) const {
    const uint64_t exact = Find(address, port, protocol, kVirtual);
    if (exact != 0 || (any_port_services_ | ftp_services_) == 0)
      return reinterpret_cast<const Service*>(exact);
    return FindWiderService(address, port, protocol);
  }
  // Where FindService will look first. Always inline: see ConnectionTable.
  [[gnu::always_inline]] void PrefetchService(const IpAddress& address, Be16 port, Protocol protocol) const {
    const uint64_t word = WordOf(port, protocol, kVirtual);
    address.IsV4() ? PrefetchIn(v4_, Ipv4Key{address.V4().raw | word})
                   : PrefetchIn(v6_, Ipv6Key{address.V6(), word});
  }
  bool IsRealServer(const IpAddress& address, Be16 port, Protocol protocol) const {
    return Find(address, port, protocol, kRealServer) != 0 ||
           (any_port_servers_ > 0 && Find(address, Be16{}, protocol, kRealServer) != 0);
  }

  // Of some service, whatever its port.
  bool IsVirtualAddress(const IpAddress& address) const {
    return Find(address, Be16{}, Protocol{0}, kVirtualAddress) != 0;
  }

  // nullptr: there is none any more.
  void SetService(const Endpoint& endpoint, const Service* service);
  // How many destinations have this endpoint.
  void SetRealServer(const Endpoint& endpoint, uint32_t destinations);
  // How many endpoints have it.
  void SetVirtualAddress(const IpAddress& address, uint32_t count);

 private:
  enum Role : uint8_t { kVirtual = 1, kRealServer = 2, kVirtualAddress = 3 };

  struct Ipv4Key {
    uint64_t word = 0;
    size_t Hash() const { return static_cast<size_t>((word ^ word >> 29) * 0x9e3779b97f4a7c15u >> 20); }
    friend bool operator==(const Ipv4Key&, const Ipv4Key&) = default;
  };
  struct Ipv6Key {
    Ipv6Address address;
    uint64_t word = 0;
    size_t Hash() const {
      const uint64_t mixed = Ipv6AddressHash()(address) + word;
      return static_cast<size_t>((mixed ^ mixed >> 29) * 0x9e3779b97f4a7c15u >> 20);
    }
    friend bool operator==(const Ipv6Key&, const Ipv6Key&) = default;
  };
  // Never 0, for no role is.
  static uint64_t WordOf(Be16 port, Protocol protocol, Role role) {
    return uint64_t{port.raw} << 32 | uint64_t{static_cast<uint8_t>(protocol)} << 48 | uint64_t{role} << 56;
  }

  uint64_t Find(const IpAddress& address, Be16 port, Protocol protocol, Role role) const {
    const uint64_t word = WordOf(port, protocol, role);
    return address.IsV4() ? FindIn(v4_, Ipv4Key{address.V4().raw | word})
                          : FindIn(v6_, Ipv6Key{address.V6(), word});
  }
  // Other bits than those that find the slot in it.
  template <class Key>
  static size_t PlaceOf(const Key& key) {
    return key.Hash() >> 32 & (Shards<FlatTable<Key>>::kCount - 1);
  }
  template <class Key>
  static uint64_t FindIn(const Shards<FlatTable<Key>>& shards, const Key& key) {
    const FlatTable<Key>* shard = shards.Get(PlaceOf(key));
    return shard == nullptr ? 0 : shard->Find(key);
  }
  template <class Key>
  [[gnu::always_inline]] static void PrefetchIn(const Shards<FlatTable<Key>>& shards, const Key& key) {
    if (const FlatTable<Key>* shard = shards.Get(PlaceOf(key))) shard->Prefetch(key);
  }
  // Whether the endpoint came (1) or went (-1).
  int Set(const Endpoint& endpoint, Role role, uint64_t value);
  const Service* FindWiderService(const IpAddress& address, Be16 port, Protocol protocol) const;

  Shards<FlatTable<Ipv4Key>> v4_;
  Shards<FlatTable<Ipv6Key>> v6_;
  int any_port_services_ = 0;
  int ftp_services_ = 0;
  int any_port_servers_ = 0;
};

}  // namespace sluice
