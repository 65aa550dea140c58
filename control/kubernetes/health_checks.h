// The ports that load balancers ask whether this node has endpoints of a Service.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "control/kubernetes/feed.h"
#include "control/metrics/http_server.h"
#include "control/mutex.h"

namespace sluice::kubernetes {

class HealthChecks {
 public:
  // `address` is the one that all ports are on; empty: all of both families. `complain` gets a Service's name
  // and uid, and why its port cannot be had.
  HealthChecks(HttpServer& server, const std::string& address, std::function<bool()> is_healthy,
               std::function<void(const ObjectName&, const std::string&, const std::string&)> complain)
      : server_(server),
        address_(address),
        is_healthy_(std::move(is_healthy)),
        complain_(std::move(complain)) {}
  ~HealthChecks() { Set({}); }

  // These Services have such a port, and no others. One that cannot be listened on is tried again with the
  // next call.
  void Set(const std::map<ObjectName, LocalHealth>& services);

 private:
  struct Port {
    uint32_t port = 0;
    std::optional<HttpServer::Listener> listener;
    std::string trouble;
  };
  std::string Where(uint32_t port) const;
  HttpServer::Page Answer(const ObjectName& name) const;

  HttpServer& server_;
  const std::string address_;
  const std::function<bool()> is_healthy_;
  const std::function<void(const ObjectName&, const std::string&, const std::string&)> complain_;
  mutable Mutex mutex_;
  std::map<ObjectName, uint32_t> endpoints_ ABSL_GUARDED_BY(mutex_);
  Mutex setting_;
  std::map<ObjectName, Port> ports_ ABSL_GUARDED_BY(setting_);
};

}  // namespace sluice::kubernetes
