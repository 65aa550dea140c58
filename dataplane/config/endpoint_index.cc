// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/endpoint_index.h"

namespace sluice {

void EndpointIndex::SetService(const Endpoint& endpoint, const Service* service) {
  const int change = Set(endpoint, kVirtual, reinterpret_cast<uint64_t>(service));
  if (endpoint.port == Be16{}) any_port_services_ += change;
  if (endpoint.port == kFtpPort && endpoint.protocol == Protocol::kTcp) ftp_services_ += change;
}

void EndpointIndex::SetRealServer(const Endpoint& endpoint, uint32_t destinations) {
  const int change = Set(endpoint, kRealServer, destinations);
  if (endpoint.port == Be16{}) any_port_servers_ += change;
}

void EndpointIndex::SetVirtualAddress(const IpAddress& address, uint32_t count) {
  Set({address, Be16{}, Protocol{0}}, kVirtualAddress, count);
}

int EndpointIndex::Set(const Endpoint& endpoint, Role role, uint64_t value) {
  const uint64_t word = WordOf(endpoint.port, endpoint.protocol, role);
  const IpAddress& address = endpoint.address;
  if (address.IsV4()) {
    const Ipv4Key key{address.V4().raw | word};
    return v4_.Own(PlaceOf(key)).Set(key, value);
  }
  const Ipv6Key key{address.V6(), word};
  return v6_.Own(PlaceOf(key)).Set(key, value);
}

const Service* EndpointIndex::FindWiderService(const IpAddress& address, Be16 port, Protocol protocol) const {
  constexpr uint16_t kFtpData = 20;
  constexpr uint16_t kFirstUnprivileged = 1024;
  const uint16_t number = port.ToHost();
  if (ftp_services_ > 0 && protocol == Protocol::kTcp &&
      (number == kFtpData || number >= kFirstUnprivileged)) {
    const uint64_t ftp = Find(address, kFtpPort, protocol, kVirtual);
    if (ftp != 0) return reinterpret_cast<const Service*>(ftp);
  }
  if (any_port_services_ == 0) return nullptr;
  return reinterpret_cast<const Service*>(Find(address, Be16{}, protocol, kVirtual));
}

}  // namespace sluice
