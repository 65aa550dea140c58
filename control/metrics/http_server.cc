// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/metrics/listen_socket.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kWakeId = 0;
constexpr auto kTick = 100ms;            // how exact deadlines are
constexpr int kSendBuffer = 128 * 1024;  // of the kernel's memory, for each client

void Watch(int epoll, int operation, int fd, uint64_t id, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll, operation, fd, &event);
}

bool IsLackOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpLimits& limits) {
  std::unique_ptr<HttpServer> server(new HttpServer(limits));
  if (const absl::Status opened = server->Open(); !opened.ok()) return opened;
  server->thread_ = std::thread([server = server.get()] { server->Run(); });
  return server;
}

absl::Status HttpServer::Open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (epoll_ < 0 || wake_ < 0)
    return absl::UnavailableError(absl::StrCat("HTTP pages need descriptors: ", std::strerror(errno)));
  Watch(epoll_, EPOLL_CTL_ADD, wake_, kWakeId, EPOLLIN);
  Refill();
  return absl::OkStatus();
}

HttpServer::~HttpServer() {
  Stop();
  for (const int fd : reserve_) close(fd);
  if (epoll_ >= 0) close(epoll_);
  if (wake_ >= 0) close(wake_);
}

absl::StatusOr<HttpServer::Listener> HttpServer::Listen(const std::string& where, Pages pages) {
  const absl::StatusOr<ListenSocket> socket = OpenListenSocket(where);
  if (!socket.ok()) return socket.status();
  const Listener listener{next_id_++, socket->port};
  const MutexLock lock(mutex_);
  if (stop_.load()) {
    close(socket->fd);
    return absl::CancelledError(absl::StrCat(where, ": the server of pages has ended"));
  }
  sites_[listener.id] = std::make_shared<HttpSite>(socket->fd, std::move(pages));
  Watch(epoll_, EPOLL_CTL_ADD, socket->fd, listener.id, EPOLLIN);
  return listener;
}

void HttpServer::Close(const Listener& listener) {
  std::shared_ptr<HttpSite> site;
  {
    const MutexLock lock(mutex_);
    const auto found = sites_.find(listener.id);
    if (found == sites_.end()) return;
    site = std::move(found->second);
    sites_.erase(found);
    close(site->listening);
  }
  site->Close();
  Wake();
}

void HttpServer::Stop() {
  stop_.store(true);
  if (thread_.joinable()) {
    Wake();
    thread_.join();
  }
  const MutexLock lock(mutex_);
  for (const auto& [id, site] : sites_) close(site->listening);
  sites_.clear();
}

void HttpServer::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

void HttpServer::Run() {
  pthread_setname_np(pthread_self(), "http");
  std::array<epoll_event, 64> events;
  Clock::time_point tick_at = Clock::now() + kTick;
  while (!stop_.load()) {
    const bool waits_for_time = !clients_.empty() || !resting_.empty() || reserve_.size() < reserved_;
    const int timeout = waits_for_time ? static_cast<int>(kTick / 1ms) : -1;
    const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < ready && !stop_.load(); ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kWakeId) {
        uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = read(wake_, &count, sizeof count);
        clients_.EndOfClosedSites();
      } else if (HttpClients::Served* const served = clients_.Find(id); served != nullptr) {
        Serve(id, *served, now);
      } else {
        Accept(id, now);
      }
    }
    if (now >= tick_at) {
      tick_at = now + kTick;
      clients_.EndLate(now);
      Refill();
      WakeResting();
    }
  }
  clients_.RemoveAll();
}

// One client at a time: without descriptors the kernel says so before it looks whether anybody waits.
void HttpServer::Accept(uint64_t id, Clock::time_point now) {
  while (true) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    std::shared_ptr<HttpSite> site;
    int socket = -1, error = 0;
    {
      const MutexLock lock(mutex_);  // or another closes the descriptor meanwhile
      const auto found = sites_.find(id);
      if (found == sites_.end()) return;
      site = found->second;
      socket =
          accept4(site->listening, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      error = errno;
      if (socket < 0 && IsLackOfResources(error) && reserve_.empty() && clients_.empty())
        return Rest(id, site->listening);
    }
    if (socket >= 0) return Add(socket, peer, site, now);
    if (!IsLackOfResources(error)) return;
    if (reserve_.empty()) {
      clients_.EvictForDescriptor();
    } else {
      close(reserve_.back());
      reserve_.pop_back();
    }
  }
}

void HttpServer::Add(int socket, const sockaddr_storage& peer, const std::shared_ptr<HttpSite>& site,
                     Clock::time_point now) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  const uint64_t id = next_id_++;
  const HttpClients::Served& served = clients_.Add(id, socket, peer, site, now);
  Watch(epoll_, EPOLL_CTL_ADD, socket, id, served.events);
}

void HttpServer::Serve(uint64_t id, HttpClients::Served& served, Clock::time_point now) {
  const auto find_page = [&](const std::string& path) { return served.site->Find(path); };
  bool goes_on = served.connection->Go(now, find_page);
  // Counted before the client has it.
  if (const int status = served.connection->TakeStatus(); status != 0) {
    {
      const MutexLock lock(mutex_);
      ++answers_[status];
    }
    goes_on = served.connection->Go(now, find_page);
  }
  if (!goes_on) return clients_.Remove(id);
  if (const uint32_t events = served.connection->Events(); events != served.events) {
    served.events = events;
    Watch(epoll_, EPOLL_CTL_MOD, served.connection->socket(), id, events);
  }
  if (served.connection->held_bytes() > 0) clients_.BoundPageBytes();
}

void HttpServer::Refill() {
  while (reserve_.size() < reserved_) {
    const int fd = fcntl(wake_, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return;
    reserve_.push_back(fd);
  }
}

// Where there is neither a descriptor nor a connection to end, epoll would say "ready" for ever.
void HttpServer::Rest(uint64_t id, int listening) {
  clients_.Count(HttpClients::kNoDescriptors);
  Watch(epoll_, EPOLL_CTL_MOD, listening, id, 0);
  resting_.push_back(id);
}

void HttpServer::WakeResting() {
  const MutexLock lock(mutex_);
  for (const uint64_t id : std::exchange(resting_, {})) {
    if (const auto found = sites_.find(id); found != sites_.end())
      Watch(epoll_, EPOLL_CTL_MOD, found->second->listening, id, EPOLLIN);
  }
}

std::string HttpServer::Metrics() const {
  std::string page =
      "# HELP sluice_http_answers_total Answers to requests for pages, by status.\n"
      "# TYPE sluice_http_answers_total counter\n";
  {
    const MutexLock lock(mutex_);
    for (const auto& [status, count] : answers_)
      absl::StrAppend(&page, "sluice_http_answers_total{code=\"", status, "\"} ", count, "\n");
  }
  return page + clients_.Metrics();
}

}  // namespace sluice
