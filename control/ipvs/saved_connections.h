// Connections that nobody carries while sluiced is away, in a file from its orderly end to its next start.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/ipvs/connection_list.h"

namespace sluice {

absl::Status SaveConnections(const std::string& path, const std::vector<ListedConnection>& connections);

// Those that have not expired since. The file is gone afterwards, so that nobody takes them twice. None if
// there is no file; an error if it is not whole.
absl::StatusOr<std::vector<ListedConnection>> TakeSavedConnections(const std::string& path);

}  // namespace sluice
