// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/conn/jiffies.h"

namespace sluice {

// So many errors a second, as a host allows itself by default (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst).
// Threads: belongs to one worker.
class IcmpLimit {
 public:
  explicit IcmpLimit(Jiffies now) : filled_at_(now) {}

  bool Take(Jiffies now) {
    const Jiffies passed = now - filled_at_;
    filled_at_ = now;
    credit_ = passed >= kBurstCredit / kPerJiffy ? kBurstCredit : credit_ + passed * kPerJiffy;
    if (credit_ > kBurstCredit) credit_ = kBurstCredit;
    if (credit_ == 0) return false;
    --credit_;
    return true;
  }

 private:
  static constexpr uint32_t kPerJiffy = 1000 / kJiffiesPerSecond;
  static constexpr uint32_t kBurstCredit = 50;

  Jiffies filled_at_;
  uint32_t credit_ = kBurstCredit;
};

}  // namespace sluice
