// HttpClients holds the open connections of the HTTP server, and ends those that are late or too many.
// Threads: one; counts may be read by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/metrics/http_connection.h"
#include "control/metrics/http_site.h"

namespace sluice {

// Beyond a limit a connection of the first phase of these ends, the oldest first: answered for the last time,
// between requests, without a complete request, slow to take its page.
struct HttpLimits {
  size_t connections = 1024;
  size_t connections_of_client = 256;    // of one address, or a /64 of IPv6
  size_t page_bytes = size_t{64} << 20;  // of pages that clients have not yet taken
  size_t reserve = 8;                    // descriptors for clients when the process has no others
  HttpConnection::Deadlines deadlines;
};

class HttpClients {
 public:
  using Clock = HttpConnection::Clock;
  enum Drop { kTooMany, kTooManyOfClient, kTooManyBytes, kTooSlow, kNoDescriptors, kDropCount };
  struct Served {
    std::unique_ptr<HttpConnection> connection;
    std::shared_ptr<HttpSite> site;
    std::array<unsigned char, 8> client;
    uint32_t events;  // that epoll looks for
  };

  explicit HttpClients(const HttpLimits& limits) : limits_(limits) {}

  bool empty() const { return served_.empty(); }
  // Makes room by ending another if there is none.
  Served& Add(uint64_t id, int socket, const sockaddr_storage& peer, std::shared_ptr<HttpSite> site,
              Clock::time_point now);
  Served* Find(uint64_t id);  // null: there is none
  void Remove(uint64_t id);
  void RemoveAll();
  // Ends the one that is worth least.
  void EvictForDescriptor() { Evict(kNoDescriptors, nullptr); }
  void EndLate(Clock::time_point now);
  void EndOfClosedSites();
  // Ends those who are slow to take their pages while those are too many bytes; the last one may have any
  // page.
  void BoundPageBytes();
  void Count(Drop reason) { ++dropped_[reason]; }

  // For Prometheus. Any thread.
  std::string Metrics() const;

 private:
  using Table = std::map<uint64_t, Served>;

  void Evict(Drop reason, const std::function<bool(const Served&)>& is_candidate);
  Table::iterator Remove(Table::iterator found);

  const HttpLimits limits_;
  Table served_;
  std::map<std::array<unsigned char, 8>, size_t> count_of_;  // by client
  std::atomic<uint64_t> accepted_{0};
  std::atomic<size_t> open_{0};
  std::array<std::atomic<uint64_t>, kDropCount> dropped_{};
};

}  // namespace sluice
