// A limit of so many a second, with a burst.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/conn/jiffies.h"

namespace sluice {

class TokenBucket {
 public:
  // REQUIRES: `per_second` is a multiple of kJiffiesPerSecond.
  TokenBucket(uint32_t per_second, uint32_t burst, Jiffies now)
      : per_jiffy_(per_second / kJiffiesPerSecond), burst_(burst), filled_at_(now), tokens_(burst) {}

  bool Take(Jiffies now) {
    const uint64_t earned = uint64_t{now - filled_at_} * per_jiffy_;
    filled_at_ = now;
    tokens_ = static_cast<uint32_t>(std::min<uint64_t>(burst_, tokens_ + earned));
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
  }

 private:
  const uint32_t per_jiffy_;
  const uint32_t burst_;
  Jiffies filled_at_;
  uint32_t tokens_;
};

// Errors a second, as a host allows itself by default (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst).
inline constexpr uint32_t kIcmpPerSecond = 1000;
inline constexpr uint32_t kIcmpBurst = 50;
// Resets a second to those that would open a connection at a service without real servers.
inline constexpr uint32_t kRefusalsPerSecond = 1000;
inline constexpr uint32_t kRefusalsBurst = 100;

}  // namespace sluice
