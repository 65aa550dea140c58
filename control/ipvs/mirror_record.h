// Which of the kernel's services are ours, in a file beside the socket: both live as long as the kernel.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/config/spec.h"

namespace sluice {

// Nothing if there is no file.
absl::StatusOr<std::set<ServiceKey>> ReadMirrorRecord(const std::string& path);
absl::Status WriteMirrorRecord(const std::string& path, const std::set<ServiceKey>& keys);

}  // namespace sluice
