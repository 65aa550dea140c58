// Looks at what contenders send in their first turns: who does not translate addresses, decrement the TTL
// and mend the checksums is no yardstick for those who do.
// Threads: Look on the contenders' workers; the rest on the main thread, between turns.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bench/forward/traffic.h"

namespace sluice {

class Referee {
 public:
  explicit Referee(const Traffic& traffic) : traffic_(traffic) {}

  void Look(rte_mbuf* const* packets, int count);

  // Packets of clients.
  uint64_t seen() const { return seen_; }
  uint64_t wrong() const { return wrong_; }

 private:
  // What NAT makes of a client's packet, at a server.
  bool IsTranslated(const uint8_t* ip, size_t length) const;

  const Traffic& traffic_;
  std::atomic<uint64_t> seen_{0};
  std::atomic<uint64_t> wrong_{0};
};

}  // namespace sluice
