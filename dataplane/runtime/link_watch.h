// Watches the links of ports: a lost link is counted, and a device's twin in the kernel has the same state,
// so that routes follow.
// Threads: one of its own; what it counts may be read by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/runtime/kernel_port.h"
#include "dataplane/runtime/port.h"

namespace sluice {

class LinkWatch {
 public:
  LinkWatch(const std::vector<std::unique_ptr<Port>>& ports, KernelPort& kernel_port);
  ~LinkWatch();

  // How often a link was lost.
  uint64_t losses() const { return losses_.load(std::memory_order_relaxed); }

 private:
  void Run();
  void Look(size_t port);

  const std::vector<std::unique_ptr<Port>>& ports_;
  KernelPort& kernel_port_;
  std::vector<bool> is_up_;
  std::atomic<uint64_t> losses_{0};
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace sluice
