// HttpServer serves pages that are made when they are asked for: metrics and health. One thread with epoll serves any
// number of addresses. Clients are strangers: each limit has a deadline or an order of eviction, so slow and silent
// ones hold up nobody.
// Threads: any may call; the server's own thread makes the pages, one after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "control/metrics/http_clients.h"
#include "control/metrics/http_page.h"
#include "control/metrics/http_site.h"
#include "control/mutex.h"

namespace sluice {

class HttpServer {
 public:
  using Page = HttpPage;
  using Pages = HttpPages;
  struct Listener {
    uint64_t id;
    uint16_t port;
  };

  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpLimits& limits = HttpLimits());
  ~HttpServer();

  // `where` is as in listen_socket.h; port 0: any that is free.
  absl::StatusOr<Listener> Listen(const std::string& where, Pages pages);
  // Nobody listens there any more when it returns, and none of its pages is being made. The caller holds no
  // lock that these pages take.
  void Close(const Listener& listener);
  // Closes all, and ends the thread. Nothing can be listened on later.
  void Stop();

  // For Prometheus: answers by status, connections, and why they were ended.
  std::string Metrics() const;

 private:
  using Clock = HttpClients::Clock;

  explicit HttpServer(const HttpLimits& limits) : reserved_(limits.reserve), clients_(limits) {}
  absl::Status Open();
  void Wake();
  void Run();
  void Accept(uint64_t id, Clock::time_point now);
  void Add(int socket, const sockaddr_storage& peer, const std::shared_ptr<HttpSite>& site,
           Clock::time_point now);
  void Serve(uint64_t id, HttpClients::Served& served, Clock::time_point now);
  void Refill();
  void Rest(uint64_t id, int listening);
  void WakeResting();

  const size_t reserved_;
  int epoll_ = -1;
  int wake_ = -1;
  std::atomic<uint64_t> next_id_{1};  // of sites and connections; 0 is `wake_`
  std::atomic<bool> stop_{false};

  mutable Mutex mutex_;
  std::map<uint64_t, std::shared_ptr<HttpSite>> sites_ ABSL_GUARDED_BY(mutex_);
  std::map<int, uint64_t> answers_ ABSL_GUARDED_BY(mutex_);  // by status

  // The server's thread's own.
  HttpClients clients_;
  std::vector<int> reserve_;
  std::vector<uint64_t> resting_;  // sites whose clients wait until there are descriptors again
  std::thread thread_;
};

}  // namespace sluice
