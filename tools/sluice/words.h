// Services and flows as they stand on the command line: "tcp 10.0.0.1:80", "fwmark 7".
// Threads: pure functions, but for looking names up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sluice/v1/sluice.pb.h"

namespace sluice {

// "tcp|udp|sctp ADDRESS:PORT", "fwmark N" or, of IPv6, "fwmark6 N". False, with what is wrong.
bool ParseServiceWords(const std::vector<std::string>& words, v1::ServiceKey& key, std::string& wrong);

// "tcp|udp|sctp SOURCE:PORT DESTINATION:PORT".
bool ParseFlowWords(const std::vector<std::string>& words, v1::ExplainRequest& flow, std::string& wrong);

}  // namespace sluice
