// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/proxy_health.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace sluice::kubernetes {

void ProxyHealth::Wait(Clock::time_point now) {
  Clock::rep nothing = 0;
  since_.compare_exchange_strong(nothing, now.time_since_epoch().count());
}

bool ProxyHealth::IsHealthy(Clock::time_point now) const {
  const Clock::rep since = since_.load();
  return since == 0 || now - Clock::time_point(Clock::duration(since)) <= patience_;
}

HttpServer::Page ProxyHealth::Page(bool is_healthy, std::optional<bool> is_eligible) {
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  return {.status = is_healthy && is_eligible.value_or(true) ? 200 : 503,
          .text = absl::StrCat(
              "{\"lastUpdated\":\"", time, "\",\"currentTime\":\"", time, "\"",
              is_eligible ? absl::StrCat(",\"nodeEligible\":", *is_eligible ? "true" : "false") : "",
              ",\"healthy\":", is_healthy ? "true" : "false", "}\n"),
          .type = "application/json",
          .headers = "X-Content-Type-Options: nosniff\r\n"};
}

}  // namespace sluice::kubernetes
