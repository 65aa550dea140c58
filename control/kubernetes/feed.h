// Brings what the cluster wants to sluiced: only differences, together if they come together, and again when sluiced
// was away.
// Threads: one runs it; Stop, and what is asked of it, any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "control/kubernetes/cluster.h"
#include "control/kubernetes/kube_metrics.h"
#include "control/kubernetes/node_policy.h"
#include "control/kubernetes/program.h"
#include "control/kubernetes/proxy_health.h"
#include "control/mutex.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice::kubernetes {

// What a Service's health check port answers.
struct LocalHealth {
  uint32_t port = 0;
  uint32_t endpoints = 0;  // ready ones on this node
  std::string uid;         // the Service's
};

struct FeedOptions {
  std::string node_name;
  NodePortChoice node_ports;
  std::vector<std::string> masquerade_addresses;
  bool has_node_cidr = false;  // pods of this node are those of its podCIDRs
  NodePolicy policy;           // as far as the objects do not decide
  v1::Timeouts timeouts;
  std::chrono::milliseconds sync_period{30'000};
  std::chrono::milliseconds min_sync_period{0};
};

class Feed {
 public:
  // `told_health` gets the health of all Services with a port for it after every sync; `complain` what is
  // wrong with a Service's annotations.
  Feed(const FeedOptions& options, std::unique_ptr<v1::Sluice::Stub> sluiced, Cluster& cluster,
       KubeMetrics& metrics, std::function<void(const std::map<ObjectName, LocalHealth>&)> told_health,
       std::function<void(const ObjectName&, const std::string& uid, const std::string&)> complain)
      : options_(options),
        sluiced_(std::move(sluiced)),
        cluster_(cluster),
        metrics_(metrics),
        told_health_(std::move(told_health)),
        complain_(std::move(complain)),
        health_(2 * options.sync_period) {}

  void Run();
  void Stop();

  // Nothing has waited for longer than two sync periods to reach sluiced.
  bool IsHealthy() const { return health_.IsHealthy(Clock::now()); }

 private:
  using Clock = std::chrono::steady_clock;

  absl::Status Connect();
  // Notices when sluiced goes away, in a thread of its own.
  void WatchSluiced();
  absl::Status Sync(Cluster::News& news);
  // Sends changes while sluiced takes them; `whole`: until it has everything.
  absl::Status Push(bool whole);
  struct Applying;
  std::shared_ptr<Applying> BeginApply(std::vector<v1::Change> changes);
  absl::Status EndApply(Applying& applying);
  absl::Status ReapDrained();
  // True: it is another than before.
  bool TakeNode();
  absl::Status TranslateAll(const std::vector<ObjectName>& names);
  void TranslateOne(const ObjectName& name);
  bool IsBelievable();
  void Observe(const Cluster::News& news, Clock::time_point begin);
  void Say(const std::string& what);

  const FeedOptions options_;
  const std::unique_ptr<v1::Sluice::Stub> sluiced_;
  Cluster& cluster_;
  KubeMetrics& metrics_;
  const std::function<void(const std::map<ObjectName, LocalHealth>&)> told_health_;
  const std::function<void(const ObjectName&, const std::string& uid, const std::string&)> complain_;

  // The running thread's own.
  NodePolicy policy_;
  Program program_;
  std::deque<std::shared_ptr<Applying>> under_way_;
  struct State {
    LocalHealth health;
    bool lacks_internal = false;
    bool lacks_external = false;
    std::vector<std::string> complaints;
  };
  std::map<ObjectName, State> states_;
  std::optional<uint64_t> generation_;  // sluiced's, as we left it; nothing: it is not known
  bool is_connected_ = false;
  bool has_told_of_sluiced_ = false;
  bool must_look_at_all_ = false;  // news was not believed
  std::string said_;

  std::atomic<bool> stop_{false};
  std::atomic<bool> is_lost_{false};  // sluiced was away: it may be another
  Mutex mutex_;
  grpc::ClientContext* watching_ ABSL_GUARDED_BY(mutex_) = nullptr;
  ProxyHealth health_;
};

}  // namespace sluice::kubernetes
