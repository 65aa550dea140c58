// The pipeline end to end in memory: real packets, real tables, no NIC.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

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

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
