// The parts of a running data path, in the order in which they are made; they go in the reverse order.
// Only dataplane.cc uses it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "dataplane/runtime/clock.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/grace_period.h"
#include "dataplane/runtime/handoff.h"
#include "dataplane/runtime/kernel_port.h"
#include "dataplane/runtime/port.h"
#include "dataplane/runtime/port_table.h"
#include "dataplane/runtime/port_watch.h"
#include "dataplane/runtime/worker_loop.h"
#include "dataplane/xdp/steering.h"

namespace sluice {

class Dataplane::Runtime {
 public:
  absl::Status Start(const DataplaneOptions& options);
  ~Runtime();

  DestinationTable destinations;
  bool prepared_for_ipv6 = false;  // once there was a service of it
  std::unique_ptr<Clock> clock;
  std::unique_ptr<Steering> steering;  // nullptr: no shared interface
  // As steering knows them; sorted.
  std::mutex steered_addresses;
  std::vector<IpAddress> host_addresses;
  std::vector<IpAddress> local_addresses;
  rte_mempool* pool = nullptr;
  std::vector<std::unique_ptr<Port>> ports;
  Published<PortTable> port_table{std::make_shared<PortTable>()};
  std::unique_ptr<KernelPort> kernel_port;
  std::unique_ptr<GracePeriod> grace_period;
  std::unique_ptr<Handoff> handoff;
  std::unique_ptr<PersistenceTable> persistence;
  std::atomic<SyncPolicy> sync_policy{};
  std::atomic<SyncListener*> sync_listener{nullptr};
  std::atomic<bool> steers{true};
  Published<Snapshot> snapshot{std::make_shared<Snapshot>()};
  Published<Forwarding> forwarding{std::make_shared<Forwarding>()};
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::unique_ptr<WorkerLoop>> loops;
  std::mutex questions;  // one asker at a time
  std::unique_ptr<PortWatch> port_watch;

 private:
  absl::Status Check(const DataplaneOptions& options);
  absl::Status OpenPorts(const DataplaneOptions& options);
  absl::Status OpenKernelPort();
  absl::Status MakeWorkers(const DataplaneOptions& options);
  absl::Status Launch();
  absl::Status AttachSteering();
  void DescribeDevice(size_t port, PortStatus& status);
  absl::Status AttachTo(const Port& port, PortStatus& status);

  std::vector<int> queues_of_interface_;
  std::vector<std::string> eal_arguments_;
  int queue_count_ = 0;
  bool launched_ = false;
};

}  // namespace sluice
