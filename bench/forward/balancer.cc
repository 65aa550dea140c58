// SPDX-License-Identifier: Apache-2.0
#include "bench/forward/balancer.h"

#include <rte_ethdev.h>

#include "dataplane/net/check.h"
#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/pipeline.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

struct Way {
  ForwardingMethod method;
  TunnelSpec tunnel;
};

Way WayOf(const std::string& method) {
  if (method == "nat") return {ForwardingMethod::kNat, {}};
  if (method == "fullnat") return {ForwardingMethod::kFullNat, {}};
  if (method == "dr") return {ForwardingMethod::kDirect, {}};
  if (method == "ipip") return {ForwardingMethod::kTunnel, {.type = TunnelType::kIpip}};
  if (method == "gre") return {ForwardingMethod::kTunnel, {.type = TunnelType::kGre}};
  SLUICE_CHECK(method == "gue");
  return {ForwardingMethod::kTunnel, {.type = TunnelType::kGue, .port = Be16::FromHost(6080)}};
}

bool KeepsPort(ForwardingMethod method) {
  return method == ForwardingMethod::kDirect || method == ForwardingMethod::kTunnel;
}

constexpr int kClientSide = 1;  // interfaces
constexpr int kServerSide = 2;
constexpr int kClientPort = 0;  // what they go out by
constexpr int kServerPort = 1;

}  // namespace

Balancer::Balancer(const BalancerOptions& options, Traffic& traffic, uint16_t receive, uint16_t transmit)
    : options_(options),
      receive_(receive),
      transmit_(transmit),
      snapshots_(destinations_, {secret_, static_cast<uint32_t>(options.workers)}),
      grace_period_(options.workers),
      handoff_(*Handoff::Create(options.workers)) {
  const Jiffies now = Clock::ToJiffies(clock_.Nanoseconds());
  persistence_ = std::make_unique<PersistenceTable>(1 << 16, secret_, now, destinations_);
  std::vector<MacAddress> macs(RTE_MAX_ETHPORTS, kMacOfSluice);
  std::vector<uint16_t> numbers(RTE_MAX_ETHPORTS, 0);
  numbers[transmit] = 1;
  for (int index = 0; index < options.workers; ++index) {
    workers_.push_back(std::make_unique<Worker>(Worker::Setup{.index = index,
                                                              .workers = options.workers,
                                                              .connection_capacity = options.connections,
                                                              .secret = secret_,
                                                              .now = now,
                                                              .destinations = &destinations_,
                                                              .persistence = persistence_.get(),
                                                              .port_macs = macs,
                                                              .port_numbers = numbers}));
    if (traffic.options().v6) workers_.back()->connections.PrepareForIpv6();
  }
  Configure(traffic);
  for (const auto& worker : workers_) worker->Use(snapshot_->Get(), forwarding_->Get());
}

void Balancer::Configure(const Traffic& traffic) {
  const Way way = WayOf(options_.method);
  GlobalSpec global{.timeouts = {.udp_seconds = options_.udp_seconds}};
  if (way.method == ForwardingMethod::kFullNat) {
    for (int i = 0; i < kBenchLocals; ++i) global.local_addresses.push_back({traffic.LocalAt(i)});
  }
  snapshots_.SetGlobal(global);
  for (uint32_t i = 0; i < traffic.options().services; ++i) {
    ServiceSpec spec{.key = {traffic.ServiceAt(i), Traffic::kServicePort, traffic.options().protocol},
                     .scheduler = options_.scheduler};
    for (int server = 0; server < kBenchServers; ++server) {
      spec.destinations.push_back(
          {.address = traffic.ServerAt(server),
           .port = KeepsPort(way.method) ? Traffic::kServicePort : Traffic::kServerPort,
           .method = way.method,
           .tunnel = way.tunnel});
    }
    snapshots_.Put(spec);
  }
  ForwardingSpec spec;
  spec.links[kClientSide] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = kClientPort};
  spec.links[kServerSide] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = kServerPort};
  const bool v6 = traffic.options().v6;
  const IpAddress gateway = *IpAddress::Parse(v6 ? "fdff::1" : "10.255.0.1");
  const IpAddress host = *IpAddress::Parse(v6 ? "fdff::2" : "10.255.0.2");
  spec.routes.push_back({.prefix = *IpAddress::Parse(v6 ? "::" : "0.0.0.0"),
                         .prefix_length = 0,
                         .legs = {{.interface = kClientSide, .gateway = gateway}},
                         .source = host});
  spec.neighbours[{kClientSide, gateway}] = kMacOfClient;
  for (int i = 0; i < kBenchServers; ++i) {
    spec.routes.push_back({.prefix = traffic.ServerAt(i),
                           .prefix_length = static_cast<uint8_t>(v6 ? 128 : 32),
                           .legs = {{.interface = kServerSide}},
                           .source = host});
    spec.neighbours[{kServerSide, traffic.ServerAt(i)}] = kMacOfServer;
  }
  snapshot_ = std::make_unique<Published<Snapshot>>(snapshots_.Build());
  forwarding_ = std::make_unique<Published<Forwarding>>(forwardings_.Build(spec));
}

FlowOwners Balancer::owners() const { return {secret_, static_cast<uint32_t>(options_.workers)}; }

std::vector<uint32_t> Balancer::FlowsOf(const Traffic& traffic, int worker) const {
  std::vector<uint32_t> flows;
  if (options_.workers == 1) return flows;
  const uint32_t mask = traffic.options().flows - 1;
  uint32_t flow = 1;
  for (uint32_t i = 0; i <= mask; ++i) {
    flow = (flow * 0x5851f42du + 0x14057b7fu) & mask;
    if (owners().OwnerOf(traffic.ClientOf(flow), Traffic::ClientPortOf(flow), traffic.options().protocol) ==
        static_cast<uint32_t>(worker)) {
      flows.push_back(flow);
    }
  }
  return flows;
}

bool Balancer::OpenFlows(Traffic& traffic, rte_mempool* pool) {
  std::vector<std::vector<uint32_t>> waiting(workers_.size());
  Batch batch;
  const ForwardingMethod method = WayOf(options_.method).method;
  const bool replies_pass = method == ForwardingMethod::kNat || method == ForwardingMethod::kFullNat;
  // A packet of every flow: write(packet, flow) makes it, and see(flow, packet) what came out of `port`.
  const auto exchange = [&](Worker& worker, const std::vector<uint32_t>& flows, int port, const auto& write,
                            const auto& see) {
    worker.now = Clock::ToJiffies(clock_.Nanoseconds());
    batch.count = static_cast<int>(flows.size());
    SLUICE_CHECK(rte_pktmbuf_alloc_bulk(pool, batch.packet, static_cast<unsigned>(batch.count)) == 0);
    for (size_t i = 0; i < flows.size(); ++i) {
      batch.packet[i]->port = receive_;
      write(batch.packet[i], flows[i]);
    }
    ProcessBurst(worker, batch);
    PacketList& sent = worker.output.wire[port];
    if (sent.count != batch.count) return false;
    for (size_t i = 0; i < flows.size(); ++i) see(flows[i], *sent.packets[i]);
    rte_pktmbuf_free_bulk(sent.packets, static_cast<unsigned>(sent.count));
    sent.count = 0;
    return true;
  };
  // A whole handshake where replies pass: else it would be evicted before others.
  const auto open = [&](Worker& worker, std::vector<uint32_t>& flows) {
    const auto from_client = [&](uint8_t flags) {
      return exchange(
          worker, flows, kServerPort,
          [&](rte_mbuf* packet, uint32_t flow) { traffic.WriteOfClient(packet, flow, flags); },
          [&](uint32_t flow, const rte_mbuf& sent) { traffic.LearnAtServer(flow, sent); });
    };
    const auto from_server = [&] {
      return exchange(
          worker, flows, kClientPort,
          [&](rte_mbuf* packet, uint32_t flow) { traffic.WriteAnswer(packet, flow, kTcpSyn | kTcpAck); },
          [](uint32_t, const rte_mbuf&) {});
    };
    if (!from_client(kTcpSyn) || (replies_pass && !from_server()) || !from_client(kTcpAck)) return false;
    flows.clear();
    return true;
  };
  for (uint32_t flow = 0; flow < traffic.options().flows; ++flow) {
    const uint32_t owner =
        owners().OwnerOf(traffic.ClientOf(flow), Traffic::ClientPortOf(flow), traffic.options().protocol);
    waiting[owner].push_back(flow);
    if (waiting[owner].size() == kBurst && !open(*workers_[owner], waiting[owner])) return false;
  }
  for (size_t owner = 0; owner < workers_.size(); ++owner) {
    if (!waiting[owner].empty() && !open(*workers_[owner], waiting[owner])) return false;
  }
  return true;
}

void Balancer::GetReady() {
  loops_.clear();
  auto table = std::make_shared<PortTable>();
  table->generation = 1;
  table->macs.assign(RTE_MAX_ETHPORTS, kMacOfSluice);
  for (int index = 0; index < options_.workers; ++index) {
    const uint16_t queue = QueueOf(index);
    table->workers.push_back(
        {.receive = {{.dpdk_port = receive_, .queue = queue}},
         .transmit = {{.dpdk_port = receive_, .queue = queue}, {.dpdk_port = transmit_, .queue = queue}}});
  }
  ports_ = std::make_unique<Published<PortTable>>(std::move(table));
  for (const auto& worker : workers_) {
    loops_.push_back(std::make_unique<WorkerLoop>(WorkerLoop::Setup{.ports = ports_.get(),
                                                                    .snapshot = snapshot_.get(),
                                                                    .forwarding = forwarding_.get(),
                                                                    .grace_period = &grace_period_,
                                                                    .handoff = handoff_.get(),
                                                                    .clock = &clock_},
                                                  *worker));
  }
}

void Balancer::Stop() {
  for (const auto& loop : loops_) loop->Stop();
}

void Balancer::ChangeWeights(const Traffic& traffic, uint32_t first, uint32_t count) {
  for (uint32_t number = first; number != first + count; ++number) {
    const ServiceKey key = {traffic.ServiceAt(number % traffic.options().services), Traffic::kServicePort,
                            traffic.options().protocol};
    ServiceSpec spec = snapshots_.Find(key)->spec;
    spec.destinations[0].weight = 1 + static_cast<int>(number % 2);
    snapshots_.Put(spec);
  }
  const std::shared_ptr<const Snapshot> before = snapshot_->Exchange(snapshots_.Build());
  grace_period_.Wait();
  snapshots_.Published();
}

void Balancer::SetSync(const SyncPolicy& policy) {
  for (const auto& worker : workers_) worker->sync = policy;
}

uint64_t Balancer::TakeUpdates() {
  uint64_t taken = 0;
  SyncUpdate update;
  for (const auto& worker : workers_) {
    while (worker->sync_queue.Pop(update)) ++taken;
  }
  return taken;
}

uint64_t Balancer::Evicted() const {
  return Count(Counter::kEvictedClosed) + Count(Counter::kEvictedUnanswered) +
         Count(Counter::kEvictedIdleUdp) + Count(Counter::kEvictedIdle) + Count(Counter::kEvictedOverShare) +
         Count(Counter::kEvictedForPort);
}

uint64_t Balancer::Count(Counter counter) const {
  uint64_t sum = 0;
  for (const auto& worker : workers_) sum += worker->counters.Get(counter);
  return sum;
}

std::map<std::string, uint64_t> Balancer::Counts() const {
  std::map<std::string, uint64_t> counts;
  for (const CounterDescription& description : kCounterDescriptions)
    counts[std::string(description.name)] = Count(description.counter);
  return counts;
}

}  // namespace sluice
