// A netlink socket: requests with their answers, or the kernel's notifications.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct mnl_socket;

namespace sluice {

class NetlinkSocket {
 public:
  using Receiver = std::function<void(const nlmsghdr&)>;

  // `groups`: a mask of RTMGRP_*; 0 for requests only. `protocol`: NETLINK_GENERIC is another.
  static absl::StatusOr<std::unique_ptr<NetlinkSocket>> Open(unsigned groups, int protocol = NETLINK_ROUTE);
  ~NetlinkSocket();

  int fd() const;
  // Asks for a whole table (RTM_GETLINK and so on) and waits for its end.
  absl::Status Dump(uint16_t type, const Receiver& receive);
  // Sends a request of the caller's making, with NLM_F_DUMP or for one answer, and waits for its end.
  absl::Status Query(nlmsghdr& request, const Receiver& receive);
  // Sends many requests at once; what the kernel said of each: 0, or an error number.
  absl::StatusOr<std::vector<int>> SendAll(const std::vector<nlmsghdr*>& requests);
  // Sends a request of the caller's making; nobody waits for an answer.
  absl::Status Send(const nlmsghdr& request);
  // Reads what is there. kDataLoss: the kernel had no room for some notifications, ask for everything again.
  absl::Status ReceivePending(const Receiver& receive);

 private:
  NetlinkSocket();
  absl::Status ReceiveAnswers(const Receiver& receive);

  mnl_socket* socket_ = nullptr;
  uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace sluice
