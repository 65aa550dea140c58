// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/backoff.h"

#include <algorithm>

namespace sluice::kubernetes {

std::chrono::milliseconds Backoff::Next() {
  const Clock::time_point now = Clock::now();
  if (now - last_ > kForgotten) Reset();
  last_ = now;
  const std::chrono::milliseconds delay = delay_;
  delay_ = std::min(delay_ * 2, kLongest);
  return delay + std::chrono::milliseconds(random_() % static_cast<uint64_t>(delay.count()));
}

}  // namespace sluice::kubernetes
