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
    const bool stays = wanted != services.end() && wanted->second.port == each.second.port;
    if (!stays && each.second.listener) server_.Close(*each.second.listener);
    return !stays;
  });
  for (const auto& [name, health] : services) {
    Port& port = ports_[name];
    port.port = health.port;
    if (port.listener) continue;
    const absl::StatusOr<HttpServer::Listener> listener =
        server_.Listen(Where(health.port), {{"*", [this, name = name] { return Answer(name); }}});
    if (listener.ok()) {
      port.listener = *listener;
      port.trouble.clear();
    } else if (std::string trouble(listener.status().message()); trouble != port.trouble) {
      complain_(name, health.uid,
                absl::StrCat("health check port ", health.port, ": ", trouble, "; it is tried again"));
      port.trouble = std::move(trouble);
    }
  }
}

std::string HealthChecks::Where(uint32_t port) const {
  if (address_.empty()) return absl::StrCat("+", port);
  const bool is_ipv6 = address_.find(':') != std::string::npos;
  return absl::StrCat(is_ipv6 ? "[" : "", address_, is_ipv6 ? "]:" : ":", port);
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
