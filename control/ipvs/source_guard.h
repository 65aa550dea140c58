// Keeps clients away from services that are not for them where the kernel's IPVS, which cannot tell clients apart, serves
// them: a table of nftables drops what they send before IPVS sees it.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>

#include "absl/status/status.h"
#include "control/ipvs/nft_table.h"
#include "control/ipvs/packet_needs.h"

namespace sluice {

class SourceGuard {
 public:
  SourceGuard();

  // These services have those clients, and others everybody. `names` are services of one port that the kernel
  // has; of the clients of a service of every port beside them they take none.
  absl::Status Set(const std::map<ServiceKey, PacketNeeds::Ranges>& clients,
                   const std::set<ServiceKey>& names);
  // Somebody else may have changed the table.
  void Forget() { table_.Forget(); }

 private:
  NftTable table_;
};

}  // namespace sluice
