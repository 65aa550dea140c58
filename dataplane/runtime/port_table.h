// The queues that each worker serves, and the MAC addresses of ports, as a value: what comes and goes with
// interfaces while workers run.
// Threads: built by the thread that watches ports, then read by workers within a round.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/net/mac_address.h"
#include "dataplane/runtime/port.h"

namespace sluice {

struct PortTable {
  struct OfWorker {
    std::vector<PortQueue> receive;   // the queues it serves
    std::vector<PortQueue> transmit;  // by port, the queue it sends to; one without a device is away
  };

  uint64_t generation = 0;  // another for every table
  std::vector<OfWorker> workers;
  std::vector<MacAddress> macs;  // by DPDK port
};

// Worker w serves queues w, w + workers, and so on, and sends to queue w.
std::shared_ptr<const PortTable> TableOf(const std::vector<Port*>& ports, const std::vector<bool>& away,
                                         const std::vector<MacAddress>& macs, int workers,
                                         uint64_t generation);

}  // namespace sluice
