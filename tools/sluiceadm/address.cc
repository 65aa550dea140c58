// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/address.h"

#include <arpa/inet.h>
#include <netdb.h>

namespace sluice {
namespace {

bool ParseHost(const std::string& host, Address& result) {
  in6_addr binary;
  if (inet_pton(AF_INET, host.c_str(), &binary) == 1) {
    result.address = host;
    return true;
  }
  if (inet_pton(AF_INET6, host.c_str(), &binary) == 1) {
    result.address = host;
    result.is_v6 = true;
    return true;
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  char text[INET_ADDRSTRLEN];
  const auto* address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
  result.address = inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
  freeaddrinfo(found);
  return true;
}

bool ParsePort(const std::string& text, const char* protocol, Address& result) {
  uint32_t number;
  if (ParseNumber(text, 65535, number)) {
    result.port = number;
    return true;
  }
  const servent* known = getservbyname(text.c_str(), protocol);
  if (known == nullptr) return false;
  result.port = ntohs(static_cast<uint16_t>(known->s_port));
  return true;
}

}  // namespace

std::optional<Address> ParseAddress(const std::string& text, const char* protocol) {
  Address result;
  std::string host = text;
  std::string port;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    // As in ipvsadm, where brackets are about the port.
    if (close + 2 >= text.size() || text[close + 1] != ':') return std::nullopt;
    port = text.substr(close + 2);
  } else if (const size_t colon = text.rfind(':'); colon != std::string::npos && text.find(':') == colon) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return std::nullopt;
  }
  if (!ParseHost(host, result)) return std::nullopt;
  if (!port.empty() && !ParsePort(port, protocol, result)) return std::nullopt;
  return result;
}

}  // namespace sluice
