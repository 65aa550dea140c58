// What Sluice counts, in Prometheus' text format.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace sluice::v1 {
class GetInfoResponse;
class ListServicesResponse;
}  // namespace sluice::v1

namespace sluice {

// Of services and their real servers at most `most` are told one by one, the first by key; how many were left
// out is a metric of its own. The total is of all.
std::string MetricsPage(const v1::GetInfoResponse& info, const v1::ListServicesResponse& services,
                        size_t most);

}  // namespace sluice
