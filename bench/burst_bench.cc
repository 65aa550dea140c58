// The pipeline end to end in memory: real packets, real tables, no NIC.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "bench/memory_traffic.h"
#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/pipeline/pipeline.h"
#include "tests/support/eal.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// One worker, `services` UDP and TCP services of three real servers each, everything routed.
struct Balancer {
  Balancer(uint32_t connections, uint32_t services) {
    StartEalForTest();
    worker = std::make_unique<Worker>(Worker::Setup{.connection_capacity = connections,
                                                    .secret = HashSecret::Random(),
                                                    .now = 0,
                                                    .destinations = &destinations,
                                                    .persistence = &persistence,
                                                    .port_macs = {kMacOfSluice, kMacOfSluice}});
    for (uint32_t i = 0; i < services; ++i) {
      for (const Protocol protocol : {Protocol::kUdp, Protocol::kTcp}) {
        ServiceSpec spec{
            {IpAddress::FromV4(MemoryTraffic::ServiceOf(i)), MemoryTraffic::kServicePort, protocol},
            "rr",
            {},
            {}};
        for (int server = 1; server <= 3; ++server) {
          const uint32_t port = 1024 + i % 60000;
          spec.destinations.push_back({*IpAddress::Parse("10.1.0." + std::to_string(server)),
                                       Be16::FromHost(static_cast<uint16_t>(port)), 1});
        }
        snapshots.Put(spec);
      }
    }
    ForwardingSpec spec;
    spec.links[1] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 0};
    spec.links[2] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 1};
    const IpAddress gateway = *IpAddress::Parse("10.0.0.254");
    spec.routes.push_back({.prefix = *IpAddress::Parse("0.0.0.0"),
                           .prefix_length = 0,
                           .legs = {{.interface = 1, .gateway = gateway}}});
    spec.routes.push_back(
        {.prefix = *IpAddress::Parse("10.1.0.0"), .prefix_length = 16, .legs = {{.interface = 2}}});
    spec.neighbours[{1, gateway}] = kMacOfClient;
    for (int i = 1; i <= 3; ++i)
      spec.neighbours[{2, *IpAddress::Parse("10.1.0." + std::to_string(i))}] = kMacOfServer;
    forwarding = forwardings.Build(spec);
    snapshot = snapshots.Build();
    worker->Use(*snapshot, *forwarding);
  }

  DestinationTable destinations;
  PersistenceTable persistence{1 << 16, HashSecret::Random(), 0, destinations};
  SnapshotBuilder snapshots{destinations};
  ForwardingBuilder forwardings;
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const Forwarding> forwarding;
  std::unique_ptr<Worker> worker;
};

void ReportPackets(benchmark::State& state, int64_t packets) {
  state.SetItemsProcessed(packets);
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(packets), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_SourceAndSink(benchmark::State& state) {
  Batch batch;
  MemoryTraffic traffic(PacketPoolForTest(), {.flows = static_cast<uint32_t>(state.range(0))});
  for (auto _ : state) {
    traffic.Fill(batch);
    rte_pktmbuf_free_bulk(batch.packet, kBurst);
  }
  ReportPackets(state, state.iterations() * kBurst);
}
BENCHMARK(BM_SourceAndSink)->Arg(1 << 10)->Arg(1 << 20);

void Established(benchmark::State& state, Protocol protocol) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  const auto services = static_cast<uint32_t>(state.range(1));
  Balancer balancer(flows, services);
  Worker& worker = *balancer.worker;
  MemoryTraffic traffic(PacketPoolForTest(), {.protocol = protocol, .flows = flows, .services = services});
  Batch batch;
  for (uint32_t first = 0; first < flows; first += kBurst) {
    traffic.FillInOrder(batch, first, kTcpSyn);
    ProcessBurst(worker, batch);
    MemoryTraffic::Sink(worker.output);
  }
  if (worker.connections.size() != flows) state.SkipWithError("not every flow got a connection");
  int64_t sent = 0;
  for (auto _ : state) {
    traffic.Fill(batch);
    ProcessBurst(worker, batch);
    sent += MemoryTraffic::Sink(worker.output);
  }
  if (sent != state.iterations() * kBurst) state.SkipWithError("packets were not forwarded");
  ReportPackets(state, sent);
}
void BM_EstablishedUdp(benchmark::State& state) { Established(state, Protocol::kUdp); }
void BM_EstablishedTcp(benchmark::State& state) { Established(state, Protocol::kTcp); }
BENCHMARK(BM_EstablishedUdp)
    ->Args({1 << 10, 1})
    ->Args({1 << 16, 1})
    ->Args({1 << 20, 1})
    ->Args({1 << 23, 1})
    ->Args({1 << 20, 10000});
BENCHMARK(BM_EstablishedTcp)->Args({1 << 20, 1});

// Every packet opens a connection, and as many expire: the clock runs so that a connection lives for
// `flows` packets.
void BM_NewConnections(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  Balancer balancer(flows, 1);
  balancer.snapshots.SetGlobal({.timeouts = {.udp_seconds = 1}});
  balancer.snapshot = balancer.snapshots.Build();
  Worker& worker = *balancer.worker;
  worker.Use(*balancer.snapshot, *balancer.forwarding);
  MemoryTraffic traffic(PacketPoolForTest(), {.flows = 1u << 31});
  Batch batch;
  uint32_t flow = 0;
  // A connection is gone 1 s + 64 ms after its packet; jiffies pass so that at most half of the table lives.
  const uint32_t packets_per_jiffy = flows / 2 / (kJiffiesPerSecond + 32);
  uint32_t packets = 0;
  for (auto _ : state) {
    traffic.FillInOrder(batch, flow, 0);
    flow += kBurst;
    packets += kBurst;
    if (packets >= packets_per_jiffy) {
      packets = 0;
      ++worker.now;
    }
    ProcessBurst(worker, batch);
    MemoryTraffic::Sink(worker.output);
    KeepHouse(worker);
  }
  if (worker.counters.Get(Counter::kConnectionsCreated) !=
      static_cast<uint64_t>(state.iterations()) * kBurst) {
    state.SkipWithError("connections were refused");
  }
  ReportPackets(state, state.iterations() * kBurst);
}
BENCHMARK(BM_NewConnections)->Arg(1 << 16)->Arg(1 << 20);

// Every connection expires in the same second: what does one round of housekeeping cost at most, beside which
// a burst would have to wait?
void BM_ExpireAtOnce(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    const uint64_t before = ResidentBytes();
    Balancer balancer(flows, 1);
    Worker& worker = *balancer.worker;
    MemoryTraffic traffic(PacketPoolForTest(), {.flows = flows});
    Batch batch;
    for (uint32_t first = 0; first < flows; first += kBurst) {
      traffic.FillInOrder(batch, first, kTcpSyn);
      ProcessBurst(worker, batch);
      MemoryTraffic::Sink(worker.output);
    }
    if (worker.connections.size() != flows) state.SkipWithError("not every flow got a connection");
    state.counters["bytes_each"] = static_cast<double>(ResidentBytes() - before) / flows;
    worker.now += JiffiesFromSeconds(301);
    double longest = 0;
    double total = 0;
    while (worker.connections.size() > 0) {
      const auto begin = std::chrono::steady_clock::now();
      KeepHouse(worker);
      const double took =
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
      longest = std::max(longest, took);
      total += took;
    }
    state.SetIterationTime(total / 1e6);
    state.counters["longest_round_us"] = longest;
    state.counters["expired"] = benchmark::Counter(flows / (total / 1e6));
  }
}
BENCHMARK(BM_ExpireAtOnce)
    ->Arg(1 << 20)
    ->Arg(1 << 22)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// New connections of persistent clients: a template is found and held, and let go again.
void BM_PersistentConnections(benchmark::State& state) {
  const auto clients = static_cast<uint32_t>(state.range(0));
  DestinationTable destinations;
  const DestinationId id = destinations.Allocate();
  destinations.SetTraits(id, kAvailable, 0);
  const Candidate candidate{
      .address = *IpAddress::Parse("10.1.0.1"), .id = id, .load = &destinations.load(id)};
  PersistenceTable table(clients * 2, HashSecret::Random(), 0, destinations);
  uint32_t client = 1;
  for (auto _ : state) {
    client = client * 1664525 + 1013904223;
    const PersistenceTable::Wish wish = {
        .key = {.client = IpAddress::FromV4(Be32::FromHost(client % clients)),
                .virtual_address = *IpAddress::Parse("10.99.0.1"),
                .virtual_port = Be16::FromHost(80),
                .protocol = Protocol::kTcp},
        .timeout = JiffiesFromSeconds(300),
        .expire_quiescent = false};
    table.Leave(table.Join(wish, 0, [&] { return &candidate; }).id);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_PersistentConnections)->Arg(1 << 10)->Arg(1 << 16)->Arg(1 << 20);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
