// Finds the service of a virtual endpoint, and tells whether an endpoint is a real server, in one probe
// sequence of a flat table. IPv4.
// Threads: a value; the builder's own copy changes, the copy in a snapshot does not.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/config/service.h"
#include "dataplane/net/endpoint.h"

namespace sluice {

inline constexpr Be16 kFtpPort = Be16::FromHost(21);

class EndpointIndex {
 public:
  EndpointIndex() : slots_(kMinimumSlots) {}

  // In IPVS's order: the service of that very port; the FTP service, for its data connections; the service of
  // every port.
  const Service* FindService(Be32 address, Be16 port, Protocol protocol) const {
    const uint64_t exact = Value(KeyOf(address, port, protocol));
    if (exact != 0 || (any_port_services_ | ftp_services_) == 0)
      return reinterpret_cast<const Service*>(exact);
    return FindWiderService(address, port, protocol);
  }
  bool IsRealServer(Be32 address, Be16 port, Protocol protocol) const {
    return Value(KeyOf(address, port, protocol) | kRealServer) != 0 ||
           (any_port_servers_ > 0 && Value(KeyOf(address, Be16{}, protocol) | kRealServer) != 0);
  }

  // nullptr: there is none any more.
  void SetService(const Endpoint& endpoint, const Service* service);
  // How many destinations have this endpoint.
  void SetRealServer(const Endpoint& endpoint, uint32_t destinations);

 private:
  struct Slot {
    uint64_t key = 0;  // 0: free; a key is never 0, for the protocol is not
    uint64_t value = 0;
  };
  static constexpr size_t kMinimumSlots = 64;
  static constexpr uint64_t kRealServer = uint64_t{1} << 63;

  static uint64_t KeyOf(Be32 address, Be16 port, Protocol protocol) {
    return address.raw | uint64_t{port.raw} << 32 | uint64_t{static_cast<uint8_t>(protocol)} << 48;
  }
  size_t HomeOf(uint64_t key) const {
    return static_cast<size_t>((key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 20) & (slots_.size() - 1);
  }
  const Service* FindWiderService(Be32 address, Be16 port, Protocol protocol) const;
  uint64_t Value(uint64_t key) const {
    for (size_t at = HomeOf(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].value;
      if (slots_[at].key == 0) return 0;
    }
  }
  // Whether the key came (1) or went (-1).
  int Set(uint64_t key, uint64_t value);
  void Erase(size_t at);
  void Grow();

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t used_ = 0;
  int any_port_services_ = 0;
  int ftp_services_ = 0;
  int any_port_servers_ = 0;
};

}  // namespace sluice
