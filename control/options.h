// sluiced's command line.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/grpc_server.h"
#include "control/roles.h"
#include "control/sluice_service.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

enum class KernelIpvsUse { kAuto, kMirror, kOff };
// Packets of a worker that stands still: to the kernel, or dropped; kAuto: to a kernel that can go on.
enum class OnStall { kAuto, kPass, kDrop };

struct Options {
  KernelIpvsUse kernel_ipvs = KernelIpvsUse::kAuto;
  std::vector<std::string> kernel_ipvs_excluded;  // prefixes
  int kernel_ipvs_resync_seconds = 30;
  bool strict_arp = false;
  bool adopt = true;
  OnStall on_stall = OnStall::kAuto;
  SyncPolicy sync_policy{.which = SyncPolicy::Which::kAll};  // of connections that the kernel is told of
  uint32_t requests_per_second = 5000;
  uint32_t streams = 24;  // that stay open, each with a thread to itself
  DataplaneOptions dataplane;
  GrpcOptions grpc;
  Roles roles;  // of those who come over TCP
  std::string config_file;
  std::string state_file = "/var/lib/sluice/state";  // empty: nothing is kept
  std::string metrics = "127.0.0.1:9909";            // empty: none
  bool help = false;
  bool version = false;
};

// An error names the option and the rule.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

extern const char kUsage[];

}  // namespace sluice
