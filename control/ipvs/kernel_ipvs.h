// The kernel's own IPVS, over its generic-netlink family.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/ipvs/kernel_service.h"
#include "control/kernel/netlink_socket.h"

namespace sluice {

// A synchronisation daemon of the kernel's.
struct KernelDaemon {
  bool is_backup = true;  // otherwise a master
  std::string interface;
  uint32_t sync_id = 0;
};

class KernelIpvs {
 public:
  // kNotFound: this kernel has none. Asking for it makes the kernel load the module, if it can.
  static absl::StatusOr<std::unique_ptr<KernelIpvs>> Open();

  absl::StatusOr<std::vector<KernelService>> Services();
  // What the kernel said of each change: 0, or an error number.
  absl::StatusOr<std::vector<int>> Apply(const std::vector<KernelServiceChange>& changes);
  absl::Status SetTimeouts(const TimeoutSpec& timeouts);
  absl::StatusOr<std::vector<KernelDaemon>> Daemons();
  absl::Status StartDaemon(const KernelDaemon& daemon);
  absl::Status StopDaemon(const KernelDaemon& daemon);

 private:
  KernelIpvs() = default;
  absl::Status FindFamily();
  absl::Status ReadDestinations(KernelService& service);
  absl::Status Do(nlmsghdr& request);

  std::unique_ptr<NetlinkSocket> socket_;
  uint16_t family_ = 0;
};

}  // namespace sluice
