// Whether what the cluster wants reaches sluiced in time, and how load balancers and the kubelet are told.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <optional>

#include "control/metrics/http_server.h"

namespace sluice::kubernetes {

class ProxyHealth {
 public:
  using Clock = std::chrono::steady_clock;

  // What waits for longer is late.
  explicit ProxyHealth(std::chrono::milliseconds patience) : patience_(patience) {}

  // There is something that sluiced has not got. The first counts until all is done.
  void Wait(Clock::time_point now);
  // Nothing waits.
  void Done() { since_.store(0); }
  bool IsHealthy(Clock::time_point now) const;

  // /healthz, which also says whether the node may be sent anything; and /livez, which does not know.
  static HttpServer::Page Page(bool is_healthy, std::optional<bool> is_eligible);

 private:
  const std::chrono::milliseconds patience_;
  std::atomic<Clock::rep> since_{0};  // 0: nothing waits
};

}  // namespace sluice::kubernetes
