// Whose connections through the kernel's IPVS must not show their client's address to the real server, for the answer
// would not come back to this host: those to services with full NAT, which is NAT in the kernel; the host's own, whose
// source is the service's address; a real server's to itself. A table of nftables masquerades them.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "control/ipvs/nft_table.h"
#include "control/ipvs/packet_needs.h"
#include "control/mutex.h"

namespace sluice {

class Masquerade {
 public:
  Masquerade();

  // IPVS leaves its packets to conntrack, without which nothing can be masqueraded: net.ipv4.vs.conntrack.
  static bool IsPossible();

  // For these services, and for the host's own connections to these addresses, and for no others.
  absl::Status Set(const std::map<ServiceKey, PacketNeeds>& services, const std::set<IpAddress>& addresses);
  // For a while the kernel drops what belongs to TCP connections to services with full NAT, or to these local
  // addresses, that it does not know, instead of resetting them: we shall be back.
  absl::Status Hold(const std::set<IpAddress>& local_addresses, std::chrono::seconds time);
  // Somebody else may have changed the table.
  void Forget();

 private:
  Mutex mutex_;
  NftTable table_ ABSL_GUARDED_BY(mutex_);
  std::set<Endpoint> services_ ABSL_GUARDED_BY(mutex_);  // with full NAT
};

}  // namespace sluice
