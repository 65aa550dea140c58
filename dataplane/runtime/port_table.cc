// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/port_table.h"

#include <rte_ethdev.h>

namespace sluice {

std::shared_ptr<const PortTable> TableOf(const std::vector<Port*>& ports, const std::vector<bool>& away,
                                         const std::vector<MacAddress>& macs, int workers,
                                         uint64_t generation) {
  auto table = std::make_shared<PortTable>();
  table->generation = generation;
  table->workers.resize(static_cast<size_t>(workers));
  table->macs.resize(RTE_MAX_ETHPORTS);
  for (size_t port = 0; port < ports.size(); ++port) {
    const std::vector<PortQueue> queues = away[port] ? std::vector<PortQueue>() : ports[port]->queues();
    for (size_t q = 0; q < queues.size(); ++q) {
      table->workers[q % table->workers.size()].receive.push_back(queues[q]);
      table->macs[queues[q].dpdk_port] = macs[port];
    }
    for (size_t worker = 0; worker < table->workers.size(); ++worker) {
      table->workers[worker].transmit.push_back(worker < queues.size() ? queues[worker]
                                                                       : PortQueue{.dpdk_port = kNoDevice});
    }
  }
  return table;
}

}  // namespace sluice
