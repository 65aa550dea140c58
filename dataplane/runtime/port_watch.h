// Watches what ports stand on, by index and by event, ten times a second at least: links, XDP programs, MAC
// addresses, names. A program that somebody detached is attached again; one that somebody put in its place is
// left alone, and said. An interface that went and comes back under the configured name is taken again.
// Threads: one of its own; the questions may be asked by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/config/published.h"
#include "dataplane/runtime/backoff.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/grace_period.h"
#include "dataplane/runtime/kernel_port.h"
#include "dataplane/runtime/port.h"
#include "dataplane/runtime/port_table.h"
#include "dataplane/xdp/interface.h"
#include "dataplane/xdp/steering.h"

namespace sluice {

class PortWatch {
 public:
  struct Setup {
    std::vector<Port*> ports;
    KernelPort* kernel_port = nullptr;
    Steering* steering = nullptr;  // nullptr: no shared interface
    GracePeriod* grace_period = nullptr;
    Published<PortTable>* table = nullptr;
    rte_mempool* pool = nullptr;
  };
  // The ports are open, and the interfaces have their programs; `statuses` says how that went.
  PortWatch(const Setup& setup, std::vector<PortStatus> statuses);
  ~PortWatch();

  // Measured now.
  std::vector<PortStatus> Statuses() const;
  // Asked of the last look: the name and the kernel interface of one port.
  std::string NameOf(size_t port) const;
  int InterfaceOf(size_t port) const;  // 0: it is away
  // Called from now on when a port stands on another interface, or on none; nullptr: nobody is.
  void SetListener(std::function<void()> listener);

  uint64_t links_lost() const { return links_lost_.load(std::memory_order_relaxed); }
  uint64_t reattached() const { return reattached_.load(std::memory_order_relaxed); }
  uint64_t taken_again() const { return taken_again_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Record {
    PortStatus status;  // as at the last look
    bool link_up = true;
    Clock::time_point since;  // its trouble began
    Backoff takes;
    Backoff attaches;
  };

  void Run();
  void Look(size_t port);
  void LookAtInterface(size_t port);
  void Follow(size_t port, const InterfaceState& now);
  void Reattach(const InterfaceState& now, PortStatus& status);
  void Lose(size_t port);
  void TakeAgain(size_t port);
  absl::Status Take(size_t port);
  // Writes into the status what follows from the interface as it is now.
  void Judge(const InterfaceState& now, PortStatus& status) const;
  void Note(size_t port, const PortStatus& status);
  void Publish();
  void TellListener();

  const Setup setup_;
  mutable std::mutex mutex_;  // of records; only the thread writes them
  std::vector<Record> records_;
  uint64_t generation_ = 0;
  std::mutex telling_;
  std::function<void()> listener_;
  std::atomic<uint64_t> links_lost_{0};
  std::atomic<uint64_t> reattached_{0};
  std::atomic<uint64_t> taken_again_{0};
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace sluice
