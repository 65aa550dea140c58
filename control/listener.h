// Accepts the API's connections, no more than a bound of all peers and of each, and hands them on. It goes on
// when descriptors have run out, and ends connections whose peer takes nothing of what it was sent.
// Threads: one of its own; Stop and EndConnections by one, in this order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

struct ConnectionCounts {
  std::atomic<uint64_t> open{0};
  std::atomic<uint64_t> refused{0};  // beyond a bound, or for want of descriptors
  std::atomic<uint64_t> stalled{0};  // ended, because their peer did not read
};

class Listener {
 public:
  struct Limits {
    size_t connections = 128;
    size_t of_a_peer = 64;             // an IPv4 address, a /64 of IPv6, a process on this host
    std::chrono::seconds silence{20};  // of a peer that has something to read
  };
  // Takes a connection's descriptor; `socket` is where it came in.
  using Hand = std::function<void(int socket, int connection)>;
  // Listens again, when nothing leads to the socket any more; empty: that cannot happen.
  struct Renewal {
    std::string path;
    std::function<absl::StatusOr<int>()> listen;
  };

  Listener(std::vector<int> sockets, const Limits& limits, Renewal renewal, ConnectionCounts& counts,
           Hand hand);
  ~Listener();

  // No more connections are accepted; those that are open stay so.
  void Stop();
  // Whatever their peers do.
  void EndConnections();

 private:
  // The descriptor is a duplicate of the one that was handed on: it tells when that has ended, and can end
  // it.
  struct Connection {
    int fd;
    std::string peer;
    int unread = 0;
    std::chrono::steady_clock::time_point since;  // nothing was read
  };

  void Run();
  void Accept(int socket);
  void Admit(int socket, int fd, std::string peer);
  void RefuseOneWithoutDescriptors(int socket);
  void DropEnded(const std::vector<bool>& ended);
  void EndStalled();
  void RenewLost();

  std::vector<int> sockets_;
  const Limits limits_;
  const Renewal renewal_;
  ConnectionCounts& counts_;
  const Hand hand_;
  std::vector<Connection> connections_;
  uint64_t inode_ = 0;  // of the path, as it was bound
  int spare_ = -1;      // given up for the moment in which a connection is refused for want of descriptors
  int wake_ = -1;
  std::chrono::steady_clock::time_point pause_until_;
  std::thread thread_;
};

}  // namespace sluice
