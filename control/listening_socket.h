// The sockets on which the API listens: a Unix socket with mode 0600, and TCP.
// Threads: pure functions; but ListenOnUnix sets the process's umask for a moment.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

// An error if ListenOnUnix would not take this path: it is no socket, or a live one.
absl::Status CheckUnixPath(const std::string& path);
// A socket that a dead server left behind is replaced.
absl::StatusOr<int> ListenOnUnix(const std::string& path);
// "10.0.0.1:7443" or "[::1]:7443"; a name is listened to on all its addresses.
absl::StatusOr<std::vector<int>> ListenOnTcp(const std::string& address);

}  // namespace sluice
