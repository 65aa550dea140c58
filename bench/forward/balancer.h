// Sluice as a contender: real workers in their real loops.
// Threads: as contender.h says.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/forward/contender.h"
#include "bench/forward/traffic.h"
#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/runtime/worker_loop.h"

namespace sluice {

struct BalancerOptions {
  std::string method = "nat";  // nat, fullnat, dr, ipip, gre, gue
  std::string scheduler = "rr";
  int workers = 1;
  uint32_t connections = 1 << 20;  // per worker
  uint32_t udp_seconds = 300;      // short, if connections shall expire
};

class Balancer : public Contender {
 public:
  // `receive`, `transmit`: DPDK ports with a queue for each worker.
  Balancer(const BalancerOptions& options, Traffic& traffic, uint16_t receive, uint16_t transmit);

  // Opens every flow on its worker, and learns what servers see of it. False: not all were opened.
  bool OpenFlows(Traffic& traffic, rte_mempool* pool);
  // The flows that a worker owns, in an order without pattern; empty: all.
  std::vector<uint32_t> FlowsOf(const Traffic& traffic, int worker) const;
  FlowOwners owners() const;

  const char* name() const override { return "sluice"; }
  void GetReady() override;
  void Run(int worker) override { loops_[static_cast<size_t>(worker)]->Run(); }
  void Stop() override;
  std::map<std::string, uint64_t> Counts() const override;

  // Which connections workers tell of; between turns. And takes what they told.
  void SetSync(const SyncPolicy& policy);
  uint64_t TakeUpdates();
  // Changes of the configuration, numbered from `first` on, that all workers use when this returns.
  void ChangeWeights(const Traffic& traffic, uint32_t first, uint32_t count);

  Worker& worker(int index) { return *workers_[static_cast<size_t>(index)]; }
  uint64_t Count(Counter counter) const;
  uint64_t Evicted() const;  // from full tables, for whatever reason

 private:
  void Configure(const Traffic& traffic);

  const BalancerOptions options_;
  const HashSecret secret_ = HashSecret::Random();
  const uint16_t receive_, transmit_;
  DestinationTable destinations_;
  SnapshotBuilder snapshots_;
  ForwardingBuilder forwardings_;
  std::unique_ptr<PersistenceTable> persistence_;
  std::unique_ptr<Published<PortTable>> ports_;
  std::unique_ptr<Published<Snapshot>> snapshot_;
  std::unique_ptr<Published<Forwarding>> forwarding_;
  GracePeriod grace_period_;
  std::unique_ptr<Handoff> handoff_;
  Clock clock_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<WorkerLoop>> loops_;
};

}  // namespace sluice
