// The kernel's settings that its IPVS needs to balance as Kubernetes expects, those that kube-proxy makes.
// Threads: pure functions, but for the files under `root`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"

namespace sluice {

// Makes those that are not made, and says which cannot be; `root` is /proc/sys.
absl::Status HaveKubernetesSettings(const std::string& root = "/proc/sys");

}  // namespace sluice
