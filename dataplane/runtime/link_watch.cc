// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/link_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace sluice {
namespace {

constexpr int kLookEveryMs = 100;

}  // namespace

// Twins begin with a carrier, so all links count as up.
LinkWatch::LinkWatch(const std::vector<std::unique_ptr<Port>>& ports, KernelPort& kernel_port)
    : ports_(ports),
      kernel_port_(kernel_port),
      is_up_(ports.size(), true),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {}

LinkWatch::~LinkWatch() {
  eventfd_write(stop_fd_, 1);
  thread_.join();
  close(stop_fd_);
}

void LinkWatch::Run() {
  pollfd stop = {stop_fd_, POLLIN, 0};
  do {
    for (size_t port = 0; port < ports_.size(); ++port) Look(port);
  } while (poll(&stop, 1, kLookEveryMs) == 0);
}

void LinkWatch::Look(size_t port) {
  const bool is_up = ports_[port]->LinkUp();
  if (is_up == is_up_[port]) return;
  is_up_[port] = is_up;
  if (!is_up) losses_.fetch_add(1, std::memory_order_relaxed);
  kernel_port_.SetCarrier(static_cast<int>(port), is_up);
}

}  // namespace sluice
