// SPDX-License-Identifier: Apache-2.0
#include "control/listening_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int kBacklog = 256;
constexpr int kSocketFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// Whether a server answers at this path; one whose backlog is full does as well.
bool IsLive(const std::string& path) {
  const sockaddr_un address = UnixAddress(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | kSocketFlags, 0);
  const bool live =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
  close(fd);
  return live;
}

absl::Status MakeRoom(const std::string& path) {
  if (const absl::Status checked = CheckUnixPath(path); !checked.ok()) return checked;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error)
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("--listen unix:", path, ": the directory cannot be made"));
  unlink(path.c_str());
  return absl::OkStatus();
}

// The socket, or -1 and errno.
int ListenAt(const addrinfo& at) {
  const int fd = socket(at.ai_family, SOCK_STREAM | kSocketFlags, 0);
  if (fd < 0) return -1;
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (at.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, at.ai_addr, at.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

absl::Status CheckUnixPath(const std::string& path) {
  constexpr size_t kRoom = sizeof(sockaddr_un::sun_path);
  if (path.empty() || path[0] != '/' || path.size() >= kRoom) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen unix:", path, ": must be an absolute path of fewer than ", kRoom, " characters"));
  }
  struct stat present;
  if (lstat(path.c_str(), &present) != 0) return absl::OkStatus();
  if (!S_ISSOCK(present.st_mode))
    return absl::AlreadyExistsError(
        absl::StrCat("--listen unix:", path, ": is there already and not a socket"));
  if (!IsLive(path)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      "--listen unix:", path, ": another sluiced listens there: stop it, or choose another path"));
}

absl::StatusOr<int> ListenOnUnix(const std::string& path) {
  if (const absl::Status room = MakeRoom(path); !room.ok()) return room;
  const sockaddr_un address = UnixAddress(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | kSocketFlags, 0);
  const mode_t mask = umask(0177);  // the socket is 0600 from its first moment
  const bool bound = fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  umask(mask);
  if (bound && listen(fd, kBacklog) == 0) return fd;
  if (fd >= 0) close(fd);
  return absl::ErrnoToStatus(error, absl::StrCat("--listen unix:", path, ": cannot listen there"));
}

absl::StatusOr<std::vector<int>> ListenOnTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  const absl::Status malformed = absl::InvalidArgumentError(
      absl::StrCat("--listen-tls ", address, ": must be ADDRESS:PORT, as 10.0.0.1:7443 or [::1]:7443"));
  if (colon == std::string::npos) return malformed;
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) return malformed;
  std::vector<int> sockets;
  int error = 0;
  for (const addrinfo* each = found; each != nullptr && error == 0; each = each->ai_next) {
    const int fd = ListenAt(*each);
    if (fd < 0) error = errno;
    if (fd >= 0) sockets.push_back(fd);
  }
  freeaddrinfo(found);
  if (error == 0) return sockets;
  for (const int fd : sockets) close(fd);
  return absl::ErrnoToStatus(error, absl::StrCat("--listen-tls ", address,
                                                 ": cannot listen there; is the address this host's, and "
                                                 "the port free?"));
}

}  // namespace sluice
