// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/dataplane.h"

#include <algorithm>
#include <iterator>
#include <thread>

#include "dataplane/pipeline/counters.h"
#include "dataplane/runtime/adopt_query.h"
#include "dataplane/runtime/connection_query.h"
#include "dataplane/runtime/connection_status.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/template_query.h"

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
  for (size_t port = 0; port < runtime_->ports.size(); ++port) {
    const std::vector<uint16_t> vlans = now->VlansOf(static_cast<uint16_t>(port));
    if (runtime_->ports[port]->is_shared()) {
      runtime_->steering->SetVlans(runtime_->port_watch->InterfaceOf(port), vlans);
    } else {
      runtime_->ports[port]->SetVlans(vlans);
    }
  }
  if (runtime_->steering == nullptr) return absl::OkStatus();
  const std::lock_guard lock(runtime_->steered_addresses);
  runtime_->host_addresses = now->host_addresses();
  return SteerHostAddresses();
}

DestinationTable& Dataplane::destinations() { return runtime_->destinations; }
const DestinationTable& Dataplane::destinations() const { return runtime_->destinations; }
std::vector<PortStatus> Dataplane::ports() const { return runtime_->port_watch->Statuses(); }
void Dataplane::OnPortsMoved(std::function<void()> listener) {
  runtime_->port_watch->SetListener(std::move(listener));
}
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
  uint64_t lost = 0;
  for (const auto& port : runtime_->ports) {
    missed += port->Missed();
    lost += port->lost_buffers();
  }
  counters.push_back({"port_missed", "packets for which a port's receive queue had no room", missed});
  counters.push_back({"buffers_lost", "packet buffers that interfaces which went did not give back", lost});
  counters.push_back({"port_link_lost", "times a port lost its link", runtime_->port_watch->links_lost()});
  counters.push_back({"port_taken_again", "times an interface came back and was taken again",
                      runtime_->port_watch->taken_again()});
  counters.push_back({"kernel_port_failed", "packets that the kernel would not take or Sluice not hold",
                      runtime_->kernel_port->failures()});
  if (runtime_->steering != nullptr) {
    const SteeringCounts counts = runtime_->steering->Counts();
    counters.push_back({"xdp_steered", "packets the XDP program sent to a worker", counts.steered});
    counters.push_back(
        {"xdp_stale", "packets it passed to the kernel because the worker did not answer", counts.stale});
    counters.push_back({"xdp_stale_dropped",
                        "packets it dropped because the worker did not answer and the kernel cannot go on",
                        counts.stale_dropped});
    counters.push_back({"xdp_openings_dropped",
                        "packets it dropped that would open connections, for the queue has too many of them",
                        counts.openings_dropped});
    counters.push_back({"xdp_released", "packets it passed to the kernel because Sluice is not to forward",
                        counts.released});
    counters.push_back({"xdp_reattached", "times it was attached again after somebody had detached it",
                        runtime_->port_watch->reattached()});
    counters.push_back({"xdp_no_socket", "packets it passed to the kernel because the queue has no worker",
                        counts.no_socket});
  }
  return counters;
}

std::vector<WorkerStatus> Dataplane::WorkerStatuses() const {
  std::vector<WorkerStatus> statuses;
  const uint64_t now = runtime_->clock->Nanoseconds();
  for (const auto& worker : runtime_->workers) {
    const auto& counters = worker->counters;
    const WorkerLoad& load = worker->load;
    const uint64_t last = load.last_round.load(std::memory_order_relaxed);
    statuses.push_back(
        {.rounds = load.rounds.load(std::memory_order_relaxed),
         .bursts = load.bursts.load(std::memory_order_relaxed),
         .packets = counters.Get(Counter::kReceived) + counters.Get(Counter::kPeerTaken),
         .busy_nanoseconds = load.busy_nanoseconds.load(std::memory_order_relaxed),
         .silent_nanoseconds = now > last ? now - last : 0,
         .connections =
             counters.Get(Counter::kConnectionsCreated) - counters.Get(Counter::kConnectionsExpired) -
             counters.Get(Counter::kConnectionsReused) - counters.Get(Counter::kConnectionsRescheduled) -
             counters.Get(Counter::kEvictedClosed) - counters.Get(Counter::kEvictedUnanswered) -
             counters.Get(Counter::kEvictedIdleUdp) - counters.Get(Counter::kEvictedIdle) -
             counters.Get(Counter::kEvictedOverShare) - counters.Get(Counter::kEvictedForPort) -
             counters.Get(Counter::kConnectionsDropped),
         .timer_lag_ms = load.timer_lag.load(std::memory_order_relaxed) * (1000 / kJiffiesPerSecond),
         .heartbeat_limit_ns =
             runtime_->steering == nullptr ? 0 : runtime_->steering->HeartbeatLimitNs(worker->index)});
  }
  return statuses;
}

uint64_t Dataplane::ConnectionCount() const {
  uint64_t count = 0;
  for (const WorkerStatus& worker : WorkerStatuses()) count += worker.connections;
  return count;
}

uint64_t Dataplane::ConnectionCapacity() const {
  return runtime_->workers.size() * uint64_t{runtime_->workers.front()->connections.capacity()};
}

// The lock is held for one question, not while somebody does something with the answer.
void Dataplane::Ask(size_t worker, Question& question) {
  const std::lock_guard lock(runtime_->questions);
  question.answered.store(false, std::memory_order_relaxed);
  runtime_->loops[worker]->Ask(&question);
  while (!question.answered.load(std::memory_order_acquire)) std::this_thread::yield();
}

template <class See>
void Dataplane::ForEachTemplate(See see) {
  TemplateQuery query;
  while (!query.cursor.AtEnd()) {
    Ask(0, query);
    for (size_t i = 0; i < query.count; ++i) see(query.templates[i]);
  }
}

void Dataplane::ListConnections(const std::function<bool(const std::vector<ConnectionStatus>&)>& receive) {
  std::vector<ConnectionStatus> templates;
  const Jiffies now = Clock::ToJiffies(runtime_->clock->Nanoseconds());
  ForEachTemplate([&](const Template& each) { templates.push_back(StatusOf(each, now)); });
  if (!templates.empty() && !receive(templates)) return;
  auto query = std::make_unique<ConnectionQuery>();
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    query->next_index = 1;
    query->at_end = false;
    while (!query->at_end) {
      Ask(worker, *query);
      std::vector<ConnectionStatus> chunk;
      for (int i = 0; i < query->count; ++i)
        chunk.push_back(
            StatusOf(query->connections[i], query->addresses[i], query->now, static_cast<int>(worker)));
      if (!chunk.empty() && !receive(chunk)) return;
    }
  }
}

Dataplane::FoundFlow Dataplane::FindFlow(const FlowKey& flow) {
  // A packet of a client's, or of a real server's to a client; with full NAT the real server's may be
  // anywhere.
  FoundFlow found;
  found.worker = static_cast<int>(owners().OwnerOf(flow.source, flow.source_port, flow.protocol));
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    FlowQuery query;
    query.flow = flow;
    query.towards = flow.destination;
    Ask(worker, query);
    if (!query.found) continue;
    found.worker = static_cast<int>(worker);
    found.connection = StatusOf(query.connection, query.addresses, query.now, found.worker);
    found.is_reply = query.direction == Direction::kOut;
    break;
  }
  return found;
}

std::optional<ConnectionStatus> Dataplane::FindTemplate(const ServiceSpec& service, const FlowKey& flow,
                                                        bool expire_quiescent) {
  FindTemplateQuery query(TemplateKeyOf(service, flow), expire_quiescent);
  Ask(0, query);
  if (!query.found) return std::nullopt;
  return StatusOf(*query.found, Clock::ToJiffies(runtime_->clock->Nanoseconds()));
}

Way Dataplane::WayTowards(const IpAddress& address) {
  FlowQuery query;
  query.flow.source = query.flow.destination = query.towards = address;
  Ask(0, query);
  Way way{.hop = query.hop};
  if (query.hop.kind == NextHopKind::kWire) way.port = runtime_->port_watch->NameOf(query.hop.port);
  return way;
}

Dataplane::Forgotten Dataplane::ForgetConnections(const std::vector<bool>& destinations) {
  Forgotten forgotten;
  // First the templates, so that no connection is made from them.
  const auto forget_templates = [&] {
    ForgetTemplates question(destinations);
    while (!question.cursor.AtEnd()) Ask(0, question);
    return question.forgotten;
  };
  forgotten.templates = forget_templates();
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    sluice::ForgetConnections question(
        [&](const Connection& each) { return destinations[each.destination_id]; });
    while (!question.at_end) Ask(worker, question);
    forgotten.connections += question.forgotten;
  }
  forget_templates();  // those that connections held
  return forgotten;
}

void Dataplane::LendConnections() {
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    sluice::LendConnections question;
    while (!question.at_end) Ask(worker, question);
  }
}

uint64_t Dataplane::ForgetLentConnections() {
  uint64_t forgotten = 0;
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    sluice::ForgetConnections question([](const Connection& each) { return each.Has(kConnectionLent); });
    while (!question.at_end) Ask(worker, question);
    forgotten += question.forgotten;
  }
  return forgotten;
}

std::vector<QueueCounts> Dataplane::Queues(size_t port) const { return runtime_->ports[port]->Counts(); }

void Dataplane::SetSyncPolicy(const SyncPolicy& policy) {
  runtime_->sync_policy.store(policy, std::memory_order_relaxed);
}

void Dataplane::SetSyncListener(SyncListener* listener) {
  runtime_->sync_listener.store(listener, std::memory_order_release);
  if (listener == nullptr) runtime_->grace_period->Wait();
}

size_t Dataplane::TakeUpdates(size_t most, std::vector<SyncUpdate>& updates) {
  size_t taken = 0;
  SyncUpdate update;
  for (const auto& worker : runtime_->workers) {
    for (size_t of_this = 0; of_this < most / runtime_->workers.size() && worker->sync_queue.Pop(update);
         ++of_this) {
      updates.push_back(update);
      ++taken;
    }
  }
  return taken;
}

uint64_t Dataplane::LostUpdates() const {
  uint64_t lost = 0;
  for (const auto& worker : runtime_->workers) lost += worker->sync_queue.lost();
  return lost;
}

void Dataplane::ListUpdates(bool half_open, const std::function<bool(std::span<const SyncUpdate>)>& receive) {
  auto query = std::make_unique<UpdateQuery>(half_open);
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    query->next_index = 1;
    query->at_end = false;
    while (!query->at_end) {
      Ask(worker, *query);
      if (!receive({query->updates.data(), static_cast<size_t>(query->count)})) return;
    }
  }
}

void Dataplane::ListTemplateUpdates(const std::function<void(const SyncUpdate&, uint64_t)>& receive) {
  ForEachTemplate([&](const Template& each) {
    const DestinationTable::Way way = runtime_->destinations.way(each.destination_id);
    if (each.retired || way.method == ForwardingMethod::kFullNat ||
        each.key.client.IsV4() != each.destination.IsV4())
      return;
    const bool any_port = each.key.virtual_port == Be16{};
    const SyncUpdate update{
        .client = each.key.client,
        .virtual_address = each.key.virtual_address,
        .destination = each.destination,
        .virtual_port = each.key.virtual_port,
        .destination_port = any_port ? Be16{} : each.destination_port,
        .flags = static_cast<uint16_t>(kConnectionTemplate | static_cast<uint16_t>(way.method)),
        .protocol = each.key.protocol,
        .state = each.assured,
        .timeout_seconds = each.timeout / kJiffiesPerSecond + 1,
        .fwmark = runtime_->destinations.fwmark(each.destination_id)};
    receive(update, uint64_t{each.deadline} << 1 | each.assured);
  });
}

Dataplane::AdoptedCounts Dataplane::Adopt(const std::vector<AdoptedConnection>& connections) {
  AdoptedCounts counts;
  const FlowOwners who = owners();
  std::vector<AdoptQuery> queries(runtime_->loops.size());
  const auto ask = [&](size_t worker) {
    AdoptQuery& query = queries[worker];
    if (query.count == 0) return;
    Ask(worker, query);
    counts.made += static_cast<uint64_t>(query.made);
    counts.present += static_cast<uint64_t>(query.present);
    query.count = 0;
  };
  for (const AdoptedConnection& each : connections) {
    const size_t worker = who.OwnerOf(each.flow.source, each.flow.source_port, each.flow.protocol);
    AdoptQuery& query = queries[worker];
    query.connections[static_cast<size_t>(query.count++)] = each;
    if (query.count == AdoptQuery::kRoom) ask(worker);
  }
  for (size_t worker = 0; worker < queries.size(); ++worker) ask(worker);
  return counts;
}

Dataplane::AdoptedCounts Dataplane::Adopt(const std::vector<AdoptedTemplate>& templates) {
  const Jiffies now = Clock::ToJiffies(runtime_->clock->Nanoseconds());
  std::vector<Template> wanted;
  for (const AdoptedTemplate& each : templates) {
    wanted.push_back(
        {.key = each.key,
         .destination = each.destination,
         .destination_port = each.destination_port,
         .destination_id = each.destination_id,
         .timeout = JiffiesFromSeconds(each.timeout_seconds),
         .deadline = now + JiffiesFromSeconds(std::min(each.expires_seconds, each.timeout_seconds)),
         .assured = each.assured});
  }
  AdoptTemplates question(wanted);
  while (!question.AtEnd()) Ask(0, question);
  return {.made = question.made, .present = templates.size() - question.made};
}

void Dataplane::SetSteering(bool on) {
  runtime_->steers.store(on);
  // One that sleeps is woken; the round that answers the second question began after the first, and has seen
  // it.
  class Nothing final : public Question {
    void Answer(Worker&) override {}
  };
  for (size_t worker = 0; worker < runtime_->loops.size(); ++worker) {
    for (int times = 0; times < 2; ++times) {
      Nothing question;
      Ask(worker, question);
    }
  }
}

bool Dataplane::steering() const { return runtime_->steers.load(); }

void Dataplane::SetPassesStalled(bool passes) {
  if (runtime_->steering != nullptr) runtime_->steering->SetPassesStalled(passes);
}

bool Dataplane::passes_stalled() const {
  return runtime_->steering != nullptr && runtime_->steering->passes_stalled();
}

}  // namespace sluice
