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
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
  std::function<std::optional<std::vector<LocalInterfaceAddress>>()> local_addresses = LocalAddresses;
};

class Feed {
 public:
  using Complain = std::function<void(const ObjectName& service, const std::string& uid, const char* reason,
                                      const std::string& what)>;
  // `told_health` gets the health of all Services with a port for it after every sync; `complain` what is
  // wrong with a Service, with a reason of one word.
  Feed(const FeedOptions& options, std::unique_ptr<v1::Sluice::Stub> sluiced, Cluster& cluster,
       KubeMetrics& metrics, std::function<void(const std::map<ObjectName, LocalHealth>&)> told_health,
       Complain complain)
      : options_(options),
        sluiced_(std::move(sluiced)),
        cluster_(cluster),
        metrics_(metrics),
        told_health_(std::move(told_health)),
        complain_(std::move(complain)),
        most_at_once_(kMostAtOnce),
        health_(2 * options.sync_period) {}

  void Run();
  void Stop();

  // Nothing has waited for longer than two sync periods to reach sluiced.
  bool IsHealthy() const { return health_.IsHealthy(Clock::now()); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMostAtOnce = 20'000;  // services and real servers

  absl::Status Connect();
  // Notices when sluiced goes away, in a thread of its own.
  void WatchSluiced();
  absl::Status Sync(Cluster::News& news);
  // Sends changes while sluiced takes them; `whole`: until it has everything.
  absl::Status Push(bool whole);
  struct Applying;
  std::shared_ptr<Applying> BeginApply(std::vector<v1::Change> changes);
  absl::Status EndApply(Applying& applying);
  size_t LeaveOutRefused(const Applying& applying, const grpc::Status& status);
  void LeaveOut(size_t change, const std::string& why);
  // Changes that wait are sent in smaller requests, so that those that are wrong hold up few others.
  void SendLess(const Applying& applying);
  // Of a request of ours that sluiced took.
  void Note(const v1::ApplyResponse& response);
  // When none of ours is under way.
  void SettleGenerations();
  bool IsChangedByOthers() const;
  absl::Status ReapDrained();
  // True: it is another than before. An error: it cannot be told, and stays as it is.
  absl::StatusOr<bool> TakeNode();
  absl::Status TranslateAll(const std::vector<ObjectName>& names);
  void TranslateOne(const ObjectName& name);
  bool IsBelievable();
  void Observe(const Cluster::News& news, Clock::time_point begin);
  void ObserveLosses();
  // Tells what was not told before; `told` are those that hold now.
  void Tell(const ObjectName& service, const char* reason, const std::vector<std::string>& now,
            std::vector<std::string>& told);
  void Say(const std::string& what);
  void PauseAfterFailure();

  const FeedOptions options_;
  const std::unique_ptr<v1::Sluice::Stub> sluiced_;
  Cluster& cluster_;
  KubeMetrics& metrics_;
  const std::function<void(const std::map<ObjectName, LocalHealth>&)> told_health_;
  const Complain complain_;

  // The running thread's own.
  NodePolicy policy_;
  Program program_;
  std::deque<std::shared_ptr<Applying>> under_way_;
  struct State {
    LocalHealth health;
    bool lacks_internal = false;
    bool lacks_external = false;
    std::vector<std::string> complaints, unserved, lost;
  };
  std::map<ObjectName, State> states_;
  std::optional<uint64_t> generation_;  // sluiced's, as we left it; nothing: it is not known
  std::set<uint64_t> own_generations_;  // that our requests made and that are not yet adopted
  uint64_t seen_generation_ = 0;        // the latest of an answer to our requests
  Clock::time_point reread_at_{};       // not before, whatever others do
  size_t most_at_once_;
  int failures_ = 0;  // one after the other
  Clock::time_point try_left_out_at_{};
  std::optional<std::vector<LocalInterfaceAddress>> local_addresses_;  // as last read
  bool is_connected_ = false;
  bool has_told_of_sluiced_ = false;
  bool must_look_at_all_ = false;  // news was not believed
  std::string said_;

  std::atomic<bool> stop_{false};
  std::atomic<bool> is_lost_{false};  // sluiced was away: it may be another
  std::atomic<uint64_t> watched_generation_{0};
  std::atomic<uint64_t> adopted_generation_{0};  // generation_, for who watches
  Mutex mutex_;
  grpc::ClientContext* watching_ ABSL_GUARDED_BY(mutex_) = nullptr;
  ProxyHealth health_;
};

}  // namespace sluice::kubernetes
