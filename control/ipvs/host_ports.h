// Keeps the host's own ports off the services' addresses: these are the host's, so that whatever listens on
// every address would answer on them. A table of nftables refuses what opens a connection there to a port
// that is no service's, as kube-proxy's KUBE-IPVS-FILTER does.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>

#include "absl/status/status.h"
#include "control/ipvs/nft_table.h"
#include "dataplane/config/spec.h"

namespace sluice {

class HostPorts {
 public:
  HostPorts();

  // At these addresses there are `services` and nothing else; at others, everything.
  absl::Status KeepOff(const std::set<IpAddress>& addresses, const std::set<ServiceKey>& services);
  // Somebody else may have changed the table.
  void Forget() { table_.Forget(); }

  // The rules that KeepOff puts into the table.
  static NftTable::Sets SetsOf(const std::set<IpAddress>& addresses, const std::set<ServiceKey>& services);

 private:
  NftTable table_;
};

}  // namespace sluice
