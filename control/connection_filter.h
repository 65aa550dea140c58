// Which connections somebody wants to see.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/refusals.h"
#include "dataplane/runtime/dataplane.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConnectionFilter {
 public:
  // Without `members`, for requests that name no service.
  static std::optional<ConnectionFilter> Make(const v1::ListConnectionsRequest& request, Problems& problems);

  // The destinations of the service that was asked for, by id.
  void LimitTo(std::vector<bool> members) { members_ = std::move(members); }

  bool Admits(const ConnectionStatus& connection) const;

 private:
  std::optional<std::vector<bool>> members_;
  std::optional<std::pair<IpAddress, uint8_t>> client_prefix_;
  std::optional<IpAddress> destination_;
  Be16 destination_port_;  // 0: any
  std::string state_;      // empty: any
};

}  // namespace sluice
