// Follows the kernel's links, addresses, routes and neighbours over netlink, and hands on what they amount to
// within milliseconds of a change. It also has the kernel resolve and confirm the neighbours the data path
// needs, for the kernel itself sees no packet to them.
// Threads: has one of its own, which calls `receive`; the member functions may be called by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/kernel/kernel_state.h"
#include "control/kernel/netlink_socket.h"
#include "control/mutex.h"

namespace sluice {

class KernelFeed {
 public:
  using Receiver = std::function<void(std::shared_ptr<const Forwarding>)>;

  // `receive` has been called once when this returns.
  static absl::StatusOr<std::unique_ptr<KernelFeed>> Start(const std::map<int, uint16_t>& port_of_interface,
                                                           Receiver receive);
  ~KernelFeed();

  // Ports stand on other interfaces from now on.
  void SetPorts(const std::map<int, uint16_t>& port_of_interface);
  // Real servers that came (true) or went: the neighbours on the way to them, and all gateways, stay
  // resolved.
  void KeepResolved(const std::map<IpAddress, bool>& changes);

  uint64_t route_count() const { return route_count_.load(std::memory_order_relaxed); }
  uint64_t neighbour_count() const { return neighbour_count_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  KernelFeed() = default;
  void Run();
  void Wake();
  absl::Status ReadAll();
  absl::Status ReadTable(uint16_t type);
  void TakePorts();
  void Follow();
  void HandOn();
  void ConfirmNeighbours();
  void Confirm(const KernelState::NeighbourName& name);

  Receiver receive_;
  std::unique_ptr<NetlinkSocket> notifications_;
  std::unique_ptr<NetlinkSocket> requests_;
  int wake_fd_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;

  // The thread's own.
  std::map<int, uint16_t> port_of_interface_;
  KernelState state_;
  ForwardingBuilder builder_;
  std::shared_ptr<const Forwarding> forwarding_;
  std::set<KernelState::NeighbourName> gateways_;
  std::set<int> our_interfaces_;  // those of ports, and VLANs over them
  bool changed_ = false;
  bool routes_in_doubt_ = false;
  bool everything_in_doubt_ = false;
  Clock::time_point read_after_{};
  IpAddress confirm_after_;  // where the next round goes on

  Mutex mutex_;
  std::set<IpAddress> keep_resolved_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::map<int, uint16_t>> new_ports_ ABSL_GUARDED_BY(mutex_);

  std::atomic<uint64_t> route_count_{0};
  std::atomic<uint64_t> neighbour_count_{0};
};

}  // namespace sluice
