// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/health_checks.h"

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {

void HealthChecks::Set(const std::map<ObjectName, LocalHealth>& services) {
  {
    const MutexLock lock(mutex_);
    endpoints_.clear();
    for (const auto& [name, health] : services) endpoints_[name] = health.endpoints;
  }
  const MutexLock lock(setting_);
  std::erase_if(ports_, [&](const auto& each) {
    const auto wanted = services.find(each.first);
    return wanted == services.end() || wanted->second.port != each.second.port;
  });
  for (const auto& [name, health] : services) {
    Port& port = ports_[name];
    port.port = health.port;
    if (port.server != nullptr) continue;
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        absl::StrCat("+", health.port), {{"*", [this, name = name] { return Answer(name); }}});
    if (server.ok()) {
      port.server = *std::move(server);
      port.trouble.clear();
    } else if (std::string trouble(server.status().message()); trouble != port.trouble) {
      complain_(name, health.uid,
                absl::StrCat("health check port ", health.port, ": ", trouble, "; it is tried again"));
      port.trouble = std::move(trouble);
    }
  }
}

HttpServer::Page HealthChecks::Answer(const ObjectName& name) const {
  const bool is_healthy = is_healthy_();
  uint32_t endpoints = 0;
  {
    const MutexLock lock(mutex_);
    if (const auto found = endpoints_.find(name); found != endpoints_.end()) endpoints = found->second;
  }
  return {
      .status = is_healthy && endpoints > 0 ? 200 : 503,
      .text = absl::StrCat("{\n\t\"service\": {\n\t\t\"namespace\": \"", name.name_space,
                           "\",\n\t\t\"name\": \"", name.name, "\"\n\t},\n\t\"localEndpoints\": ", endpoints,
                           ",\n\t\"serviceProxyHealthy\": ", is_healthy ? "true" : "false", "\n}"),
      .type = "application/json",
      .headers = absl::StrCat(
          "X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: ", endpoints, "\r\n")};
}

}  // namespace sluice::kubernetes
