// What full NAT is in the kernel: NAT, and beyond it masquerade by an nftables table of our own, so that real
// servers answer to this host whatever their routes are.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "control/mutex.h"
#include "dataplane/net/endpoint.h"

struct nft_ctx;

namespace sluice {

class Masquerade {
 public:
  Masquerade();
  ~Masquerade();  // the kernel keeps what it has

  // IPVS leaves its packets to conntrack, without which nothing can be masqueraded: net.ipv4.vs.conntrack.
  static bool IsPossible();

  // Connections to these services are masqueraded, and to no others. The table is there while there are any.
  absl::Status SetServices(const std::set<Endpoint>& services);
  // For a while the kernel drops what belongs to TCP connections to them, or to these local addresses, that
  // it does not know, instead of resetting them: we shall be back.
  absl::Status Hold(const std::set<IpAddress>& local_addresses, std::chrono::seconds time);

 private:
  absl::Status Run(const std::string& commands) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  nft_ctx* const context_ ABSL_PT_GUARDED_BY(mutex_);
  std::set<Endpoint> services_ ABSL_GUARDED_BY(mutex_);
  bool is_known_ ABSL_GUARDED_BY(mutex_) = false;  // what the kernel has
};

}  // namespace sluice
