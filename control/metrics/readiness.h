// Readiness is judged by what sluiced tells of itself: for its own pages, and for those who ask it from outside.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sluice::v1 {
class GetInfoResponse;
}  // namespace sluice::v1

namespace sluice {

struct Verdict {
  bool is_good;
  std::string text;  // lines for people; where it is good there may be troubles, too
};

// Alive: there are workers, and each goes round.
Verdict Liveness(const v1::GetInfoResponse& info);

// Ready: alive, not drained, and packets come. An interface without our XDP program is there, and its packets
// pass by; one that is away brings none, so it is no reason not to be ready while another serves.
Verdict Readiness(const v1::GetInfoResponse& info);

}  // namespace sluice
