// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/ip_address.h"

#include <arpa/inet.h>

namespace sluice {

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  in_addr v4;
  if (inet_pton(AF_INET, buffer, &v4) == 1) return FromV4(Be32{v4.s_addr});
  in6_addr v6;
  if (inet_pton(AF_INET6, buffer, &v6) != 1) return std::nullopt;
  const IpAddress address = FromV6(&v6);
  if (address.V6().IsV4Mapped()) return std::nullopt;  // one address, one spelling
  return address;
}

std::string IpAddress::ToString() const {
  char buffer[INET6_ADDRSTRLEN];
  if (IsV4()) {
    inet_ntop(AF_INET, bytes.data() + 12, buffer, sizeof buffer);
  } else {
    inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  }
  return buffer;
}

std::string EndpointToString(const IpAddress& address, Be16 port) {
  const std::string text = address.ToString();
  return (address.IsV4() ? text : "[" + text + "]") + ":" + std::to_string(port.ToHost());
}

}  // namespace sluice
