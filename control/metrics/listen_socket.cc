// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/listen_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int kBacklog = 512;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses Resolve(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  uint32_t number = 0;
  if (host.empty() || !absl::SimpleAtoi(port, &number) || number > 65535 ||
      getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
    found = nullptr;
  return {found, freeaddrinfo};
}

// Null: it is no address and port.
Addresses Read(const std::string& where) {
  const size_t colon = where.rfind(':');
  if (colon == std::string::npos) {
    return absl::StartsWith(where, "+") ? Resolve("::", where.substr(1)) : Resolve("0.0.0.0", where);
  }
  std::string host = where.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  // An address of IPv6 without brackets could mean two things.
  if (absl::StrContains(host, ':') != is_bracketed) host.clear();
  return Resolve(host, where.substr(colon + 1));
}

// Errno of what went wrong; 0: it listens.
int Listen(int fd, const addrinfo& address) {
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, address.ai_addr, address.ai_addrlen) != 0 || listen(fd, kBacklog) != 0) return errno;
  return 0;
}

uint16_t PortOf(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  // Both families have the port in the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& where) {
  const Addresses address = Read(where);
  if (address == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": must be ADDRESS:PORT, as 127.0.0.1:9909 or [::1]:9909"));
  const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // A host without IPv6 has one family only.
  if (fd < 0 && errno == EAFNOSUPPORT && absl::StartsWith(where, "+"))
    return OpenListenSocket(where.substr(1));
  const int error = fd < 0 ? errno : Listen(fd, *address);
  if (error == 0) return ListenSocket{fd, PortOf(fd)};
  if (fd >= 0) close(fd);
  return absl::UnavailableError(absl::StrCat(where, ": cannot listen there (", std::strerror(error), ")"));
}

}  // namespace sluice
