// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/dataplane.h"

#include <algorithm>
#include <iterator>
#include <thread>

#include "dataplane/pipeline/counters.h"
#include "dataplane/runtime/connection_status.h"
#include "dataplane/runtime/runtime.h"

namespace sluice {
Dataplane::Dataplane(std::unique_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}
Dataplane::~Dataplane() = default;

absl::StatusOr<std::unique_ptr<Dataplane>> Dataplane::Start(const DataplaneOptions& options) {
  auto runtime = std::make_unique<Runtime>();
  if (const absl::Status started = runtime->Start(options); !started.ok()) return started;
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(runtime)));
}

// The workers first: steering must not send them what they do not know.
absl::Status Dataplane::Publish(std::shared_ptr<const Snapshot> snapshot) {
  const std::shared_ptr<const Snapshot> now = snapshot;
  if (now->has_ipv6 && !runtime_->prepared_for_ipv6) {
    for (const auto& worker : runtime_->workers) worker->connections.PrepareForIpv6();
    runtime_->prepared_for_ipv6 = true;
  }
  const std::shared_ptr<const Snapshot> before = runtime_->snapshot.Exchange(std::move(snapshot));
  runtime_->grace_period->Wait();
  return runtime_->steering == nullptr ? absl::OkStatus() : SteerBy(*now);
}

absl::Status Dataplane::SteerBy(const Snapshot& snapshot) {
  absl::Status status = runtime_->steering->Apply(snapshot.endpoint_changes, snapshot.prefix_changes);
  const std::lock_guard lock(runtime_->steered_addresses);
  if (snapshot.local_addresses == runtime_->local_addresses) return status;
  runtime_->local_addresses = snapshot.local_addresses;
  status.Update(SteerHostAddresses());
  return status;
}

// What real servers send to the host is its own affair, but for answers to full NAT.
absl::Status Dataplane::SteerHostAddresses() {
  std::vector<IpAddress> addresses;
  std::set_difference(runtime_->host_addresses.begin(), runtime_->host_addresses.end(),
                      runtime_->local_addresses.begin(), runtime_->local_addresses.end(),
                      std::back_inserter(addresses));
  return runtime_->steering->SetHostAddresses(addresses);
}

absl::Status Dataplane::Publish(std::shared_ptr<const Forwarding> forwarding) {
  const std::shared_ptr<const Forwarding> now = forwarding;
  const std::shared_ptr<const Forwarding> before = runtime_->forwarding.Exchange(std::move(forwarding));
  runtime_->grace_period->Wait();
  for (size_t port = 0; port < runtime_->ports.size(); ++port)
    runtime_->ports[port]->SetVlans(now->VlansOf(static_cast<uint16_t>(port)));
  if (runtime_->steering == nullptr) return absl::OkStatus();
  const std::lock_guard lock(runtime_->steered_addresses);
  runtime_->host_addresses = now->host_addresses();
  return SteerHostAddresses();
}

DestinationTable& Dataplane::destinations() { return runtime_->destinations; }
const std::vector<PortStatus>& Dataplane::ports() const { return runtime_->port_status; }
bool Dataplane::LinkUp(size_t port) const { return runtime_->ports[port]->LinkUp(); }
int Dataplane::workers() const { return static_cast<int>(runtime_->workers.size()); }
FlowOwners Dataplane::owners() const {
  return {runtime_->workers.front()->secret, static_cast<uint32_t>(runtime_->workers.size())};
}

DestinationStatistics Dataplane::Statistics(DestinationId id) const {
  DestinationStatistics sum;
  for (const auto& worker : runtime_->workers) {
    const StatisticsLine& line = worker->statistics[id];
    sum += {.connections = line.connections.load(std::memory_order_relaxed),
            .in_packets = line.in().packets.load(std::memory_order_relaxed),
            .out_packets = line.out().packets.load(std::memory_order_relaxed),
            .in_bytes = line.in().bytes.load(std::memory_order_relaxed),
            .out_bytes = line.out().bytes.load(std::memory_order_relaxed)};
  }
  return sum;
}

DestinationStatistics Dataplane::TotalStatistics() const {
  DestinationStatistics sum;
  for (DestinationId id = kNoDestination + 1; id < runtime_->destinations.End(); ++id) sum += Statistics(id);
  return sum;
}

std::vector<CounterStatus> Dataplane::Counters() const {
  std::vector<CounterStatus> counters;
  for (const CounterDescription& description : kCounterDescriptions) {
    CounterStatus status{.name = description.name, .meaning = description.meaning};
    for (const auto& worker : runtime_->workers) status.value += worker->counters.Get(description.counter);
    counters.push_back(status);
  }
  uint64_t missed = 0;
  for (const auto& port : runtime_->ports) missed += port->Missed();
  counters.push_back({"port_missed", "packets for which a port's receive queue had no room", missed});
  counters.push_back({"port_link_lost", "times a port lost its link", runtime_->links->losses()});
  counters.push_back({"kernel_port_failed", "packets that the kernel would not take or Sluice not hold",
                      runtime_->kernel_port->failures()});
  if (runtime_->steering != nullptr) {
    const SteeringCounts counts = runtime_->steering->Counts();
    counters.push_back({"xdp_steered", "packets the XDP program sent to a worker", counts.steered});
    counters.push_back(
        {"xdp_stale", "packets it passed to the kernel because the worker did not answer", counts.stale});
    counters.push_back({"xdp_no_socket", "packets it passed to the kernel because the queue has no worker",
                        counts.no_socket});
  }
  return counters;
}

uint64_t Dataplane::ConnectionCount() const {
  uint64_t count = 0;
  for (const auto& worker : runtime_->workers) {
    count += worker->counters.Get(Counter::kConnectionsCreated) -
             worker->counters.Get(Counter::kConnectionsExpired) -
             worker->counters.Get(Counter::kConnectionsReused) -
             worker->counters.Get(Counter::kConnectionsRescheduled) -
             worker->counters.Get(Counter::kConnectionsEvicted) -
             worker->counters.Get(Counter::kConnectionsDropped);
  }
  return count;
}

uint64_t Dataplane::ConnectionCapacity() const {
  return runtime_->workers.size() * uint64_t{runtime_->workers.front()->connections.capacity()};
}

void Dataplane::ListConnections(const std::function<bool(const std::vector<ConnectionStatus>&)>& receive) {
  const std::lock_guard lock(runtime_->questions);
  std::vector<ConnectionStatus> templates;
  const Jiffies now = Clock::ToJiffies(runtime_->clock->Nanoseconds());
  runtime_->persistence->ForEach([&](const Template& each) { templates.push_back(StatusOf(each, now)); });
  if (!templates.empty() && !receive(templates)) return;
  auto query = std::make_unique<ConnectionQuery>();
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    query->next_index = 1;
    query->at_end = false;
    while (!query->at_end) {
      query->answered.store(false, std::memory_order_relaxed);
      runtime_->loops[worker]->Ask(query.get());
      while (!query->answered.load(std::memory_order_acquire)) std::this_thread::yield();
      std::vector<ConnectionStatus> chunk;
      for (int i = 0; i < query->count; ++i)
        chunk.push_back(
            StatusOf(query->connections[i], query->addresses[i], query->now, static_cast<int>(worker)));
      if (!chunk.empty() && !receive(chunk)) return;
    }
  }
}

}  // namespace sluice
