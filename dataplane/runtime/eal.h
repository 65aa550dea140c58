// Starts DPDK's environment, once in a process.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace sluice {

struct EalOptions {
  std::vector<int> worker_cpus;  // worker i runs on lcore i + 1
  bool hugepages = false;
  int megabytes = 256;             // without hugepages
  std::vector<std::string> extra;  // passed through
};

absl::Status StartEal(const EalOptions& options);

// In hugepages of any size that nobody uses.
int FreeHugepageMegabytes();
// CPUs this process may run on.
std::vector<int> AllowedCpus();

}  // namespace sluice
