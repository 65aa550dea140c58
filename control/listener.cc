// SPDX-License-Identifier: Apache-2.0
#include "control/listener.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookEvery{1000};  // for peers that do not read, and a lost path
constexpr std::chrono::milliseconds kPause{100};       // when nothing can be accepted
constexpr int kAtOnce = 64;                            // accepted, before the others are looked at

// Those that count as one peer.
std::string PeerOf(int fd, const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return {reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const size_t begin = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 12 : 0;
    return {reinterpret_cast<const char*>(&v6.sin6_addr) + begin, begin == 0 ? size_t{8} : size_t{4}};
  }
  ucred process{};
  socklen_t size = sizeof process;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &process, &size);
  return absl::StrCat("process ", process.pid);
}

uint64_t InodeOf(const std::string& path) {
  struct stat present;
  return lstat(path.c_str(), &present) == 0 ? present.st_ino : 0;
}

}  // namespace

Listener::Listener(std::vector<int> sockets, const Limits& limits, Renewal renewal, ConnectionCounts& counts,
                   Hand hand)
    : sockets_(std::move(sockets)),
      limits_(limits),
      renewal_(std::move(renewal)),
      counts_(counts),
      hand_(std::move(hand)),
      inode_(InodeOf(renewal_.path)),
      spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] { Run(); });
}

Listener::~Listener() {
  Stop();
  for (const Connection& connection : connections_) close(connection.fd);
  counts_.open -= connections_.size();
  if (!renewal_.path.empty() && InodeOf(renewal_.path) == inode_) unlink(renewal_.path.c_str());
  if (spare_ >= 0) close(spare_);
  close(wake_);
}

void Listener::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(wake_, 1);
  thread_.join();
  for (const int socket : sockets_) close(socket);
  sockets_.clear();
}

void Listener::EndConnections() {
  for (const Connection& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
}

void Listener::Run() {
  Clock::time_point next_look = Clock::now() + kLookEvery;
  while (true) {
    const Clock::time_point now = Clock::now();
    if (now >= next_look) {
      EndStalled();
      RenewLost();
      next_look = now + kLookEvery;
    }
    const bool accepts = now >= pause_until_;
    std::vector<pollfd> watched = {{.fd = wake_, .events = POLLIN, .revents = 0}};
    for (const int socket : sockets_)
      watched.push_back({.fd = accepts ? socket : -1, .events = POLLIN, .revents = 0});
    for (const Connection& connection : connections_)
      watched.push_back({.fd = connection.fd, .events = 0, .revents = 0});
    const auto wait = std::min<Clock::duration>(next_look - now, accepts ? kLookEvery : kPause);
    poll(watched.data(), watched.size(),
         static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(wait).count()) + 1);
    if ((watched[0].revents & POLLIN) != 0) return;
    std::vector<bool> ended;
    for (size_t i = 1 + sockets_.size(); i < watched.size(); ++i) ended.push_back(watched[i].revents != 0);
    DropEnded(ended);
    for (size_t i = 0; i < sockets_.size(); ++i) {
      if (watched[1 + i].revents != 0) Accept(sockets_[i]);
    }
  }
}

void Listener::Accept(int socket) {
  for (int i = 0; i < kAtOnce; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd =
        accept4(socket, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Admit(socket, fd, PeerOf(fd, address));
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE) RefuseOneWithoutDescriptors(socket);
    pause_until_ = Clock::now() + kPause;
    return;
  }
}

void Listener::Admit(int socket, int fd, std::string peer) {
  const auto of_peer = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const Connection& connection) { return connection.peer == peer; });
  const bool has_room =
      connections_.size() < limits_.connections && static_cast<size_t>(of_peer) < limits_.of_a_peer;
  const int duplicate = has_room ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (duplicate < 0) {
    ++counts_.refused;
    close(fd);
    return;
  }
  connections_.push_back({.fd = duplicate, .peer = std::move(peer), .since = Clock::now()});
  ++counts_.open;
  hand_(socket, fd);
}

// The peer is told, instead of waiting for an answer.
void Listener::RefuseOneWithoutDescriptors(int socket) {
  if (spare_ >= 0) close(spare_);
  const int fd = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) close(fd);
  if (fd >= 0) ++counts_.refused;
  spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void Listener::DropEnded(const std::vector<bool>& ended) {
  std::vector<Connection> rest;
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (!ended[i]) {
      rest.push_back(std::move(connections_[i]));
      continue;
    }
    close(connections_[i].fd);
    --counts_.open;
  }
  connections_ = std::move(rest);
}

// A connection with something to read that its peer leaves alone holds a thread that writes, and its message.
void Listener::EndStalled() {
  const Clock::time_point now = Clock::now();
  for (Connection& connection : connections_) {
    int unread = 0;
    if (ioctl(connection.fd, SIOCOUTQ, &unread) != 0) continue;
    if (unread == 0 || unread != connection.unread) connection.since = now;
    connection.unread = unread;
    if (now - connection.since < limits_.silence) continue;
    shutdown(connection.fd, SHUT_RDWR);
    ++counts_.stalled;
    connection.since = now;
  }
}

void Listener::RenewLost() {
  if (renewal_.path.empty() || InodeOf(renewal_.path) == inode_) return;
  const absl::StatusOr<int> socket = renewal_.listen();
  if (!socket.ok()) return;  // something else is there: health tells that the API does not answer
  std::fprintf(stderr, "sluiced: %s had gone: listening there again\n", renewal_.path.c_str());
  for (const int lost : sockets_) close(lost);
  sockets_ = {*socket};
  inode_ = InodeOf(renewal_.path);
}

}  // namespace sluice
