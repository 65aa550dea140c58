// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/server.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "bench/wire/flows.h"
#include "bench/wire/sockets.h"

namespace sluice {
namespace {

std::atomic<bool> told_to_end{false};
void EndOnSignal(int) { told_to_end.store(true); }

class Server {
 public:
  explicit Server(const WireOptions& options) : options_(options) {}
  ~Server() {
    for (const auto& [socket, kind] : sockets_) close(socket);
    if (poll_ >= 0) close(poll_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  absl::Status Open() {
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_ < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
    for (const Endpoint& endpoint : options_.listen) {
      for (const Kind kind : {Kind::kUdp, Kind::kListener}) {
        if (const absl::Status opened = OpenOne(endpoint, kind); !opened.ok()) return opened;
      }
    }
    return absl::OkStatus();
  }

  Report Run() {
    struct sigaction action {};
    action.sa_handler = EndOnSignal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    const uint64_t begin = WireNanoseconds();
    uint64_t told = begin;
    const auto limit = static_cast<uint64_t>(options_.seconds * 1e9);
    while (!told_to_end.load()) {
      constexpr int kAtOnce = 64;
      epoll_event ready[kAtOnce];
      const int count = epoll_wait(poll_, ready, kAtOnce, 50);
      for (int i = 0; i < count; ++i) Serve(ready[i].data.fd);
      const uint64_t now = WireNanoseconds();
      if (limit != 0 && now - begin >= limit) break;
      if (now - told < 1'000'000'000) continue;
      told = now;
      ShowProgress(double(now - begin) / 1e9, packets_ + accepted_, 0);
    }
    EndProgress();
    Report report;
    report.Add("seconds", double(WireNanoseconds() - begin) / 1e9);
    report.Add("packets", packets_);
    report.Add("accepted", accepted_);
    report.Add("refused_by_kernel", failed_);
    return report;
  }

 private:
  enum class Kind { kUdp, kListener, kConnection };

  absl::Status OpenOne(const Endpoint& endpoint, Kind kind) {
    const SocketAddress address(endpoint.address, endpoint.port);
    const int type = kind == Kind::kUdp ? SOCK_DGRAM : SOCK_STREAM;
    const int one = socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
    sockets_[one] = kind;
    const int yes = 1;
    const int room = 16 << 20;
    setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (kind == Kind::kUdp) setsockopt(one, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (bind(one, address.get(), address.length) != 0 || (kind == Kind::kListener && listen(one, 4096) != 0))
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot listen at ", endpoint.ToString()));
    Watch(one);
    return absl::OkStatus();
  }

  void Watch(int socket) {
    epoll_event wanted = {.events = EPOLLIN, .data = {.fd = socket}};
    epoll_ctl(poll_, EPOLL_CTL_ADD, socket, &wanted);
  }

  void Serve(int socket) {
    const auto found = sockets_.find(socket);
    if (found == sockets_.end()) return;
    if (found->second == Kind::kUdp) return Echo(socket);
    if (found->second == Kind::kListener) return Accept(socket);
    uint8_t bytes[4096];
    const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count > 0) {
      if (options_.answers) send(socket, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
      return;
    }
    close(socket);
    sockets_.erase(found);
  }

  void Accept(int listener) {
    constexpr int kAtOnce = 64;
    for (int i = 0; i < kAtOnce; ++i) {
      const int one = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (one < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED) ++failed_;
        return;
      }
      ++accepted_;
      sockets_[one] = Kind::kConnection;
      Watch(one);
    }
  }

  void Echo(int socket) {
    constexpr int kAtOnce = 32;
    constexpr size_t kMost = 2048;
    static uint8_t bytes[kAtOnce][kMost];
    sockaddr_storage from[kAtOnce];
    iovec pieces[kAtOnce];
    mmsghdr messages[kAtOnce] = {};
    for (int i = 0; i < kAtOnce; ++i) {
      pieces[i] = {bytes[i], kMost};
      messages[i].msg_hdr = {
          .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    const int count = recvmmsg(socket, messages, kAtOnce, MSG_DONTWAIT, nullptr);
    if (count <= 0) return;
    packets_ += static_cast<uint64_t>(count);
    if (!options_.answers) return;
    for (int i = 0; i < count; ++i) pieces[i].iov_len = messages[i].msg_len;
    sendmmsg(socket, messages, static_cast<unsigned>(count), 0);
  }

  const WireOptions& options_;
  int poll_ = -1;
  std::unordered_map<int, Kind> sockets_;
  uint64_t packets_ = 0, accepted_ = 0, failed_ = 0;
};

}  // namespace

absl::StatusOr<Report> RunServer(const WireOptions& options) {
  Server server(options);
  if (const absl::Status opened = server.Open(); !opened.ok()) return opened;
  return server.Run();
}

}  // namespace sluice
