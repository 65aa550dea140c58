// The parts of the pipeline, one by one: checksum, parse, connection table, timers.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

#include "bench/forward/balancer.h"
#include "bench/forward/traffic.h"
#include "dataplane/config/forwarding.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/config/source_filter.h"
#include "dataplane/conn/connection_table.h"
#include "dataplane/conn/protocol_state.h"
#include "dataplane/conn/timer_wheel.h"
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/fragments.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/stages.h"
#include "schedulers/scheduler.h"
#include "tests/support/eal.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

void BM_SumBytes(benchmark::State& state) {
  std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) benchmark::DoNotOptimize(SumBytes(bytes.data(), bytes.size()));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_SumBytes)->Arg(20)->Arg(64)->Arg(1480);

void BM_UpdateChecksum(benchmark::State& state) {
  uint16_t checksum = 0x1234;
  uint16_t delta = 0x4321;
  for (auto _ : state) {
    checksum = UpdateChecksum(checksum, delta);
    benchmark::DoNotOptimize(checksum);
  }
}
BENCHMARK(BM_UpdateChecksum);

// A burst that stays where it is: the packets are in the first-level cache.
void BM_Parse(benchmark::State& state) {
  DestinationTable destinations;
  Worker worker({.connection_capacity = 1024,
                 .secret = HashSecret::Random(),
                 .destinations = &destinations,
                 .port_macs = {kMacOfSluice}});
  const Traffic traffic({.protocol = Protocol::kTcp, .flows = 1024});
  Batch batch;
  batch.count = kBurst;
  StartEalForTest();
  rte_pktmbuf_alloc_bulk(PacketPoolForTest(), batch.packet, kBurst);
  for (uint32_t lane = 0; lane < kBurst; ++lane) {
    batch.packet[lane]->port = 0;
    traffic.WriteOfClient(batch.packet[lane], lane, kTcpAck);
  }
  for (auto _ : state) {
    const LaneMask parsed = Parse(worker, batch, batch.all());
    if (parsed != ~LaneMask{0}) state.SkipWithError("packets were refused");
  }
  rte_pktmbuf_free_bulk(batch.packet, kBurst);
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(BM_Parse);

Connection ConnectionOf(uint32_t flow) {
  Connection connection;
  connection.client = Be32::FromHost(0x0b000000 + (flow >> 12));
  connection.client_port = Traffic::ClientPortOf(flow);
  connection.local = connection.client;
  connection.local_port = connection.client_port;
  connection.virtual_address = Be32::FromHost(0x0a630001);
  connection.virtual_port = Traffic::kServicePort;
  connection.protocol = Protocol::kUdp;
  connection.destination = Be32::FromHost(0x0a010001 + flow % 3);
  connection.destination_port = Be16::FromHost(8080);
  connection.destination_id = 1;
  return connection;
}

// Random flows in bursts of 32, as Lookup does it.
void BM_TableLookup(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  ConnectionTable table(flows, HashSecret::Random());
  for (uint32_t flow = 0; flow < flows; ++flow) table.Insert(ConnectionOf(flow), {});
  std::mt19937 random(1);
  uint64_t hash[kBurst];
  FlowTuple tuple[kBurst];
  ConnectionEntry entry[kBurst];
  for (auto _ : state) {
    const uint32_t base = random();
    for (int i = 0; i < kBurst; ++i) {
      const Connection wanted = ConnectionOf((base + static_cast<uint32_t>(i) * 0x9e3779b1u) & (flows - 1));
      tuple[i] = i % 2 == 0 ? wanted.InTuple() : wanted.OutTuple();
    }
    for (int i = 0; i < kBurst; ++i) {
      hash[i] = table.Hash(tuple[i]);
      table.PrefetchBucket(hash[i]);
    }
    for (int i = 0; i < kBurst; ++i) {
      entry[i] = table.Guess(hash[i]);
      table.PrefetchConnection(entry[i]);
    }
    for (int i = 0; i < kBurst; ++i) {
      if (!table.Is(entry[i], tuple[i], {})) entry[i] = table.Search(tuple[i], {}, hash[i]);
      if (entry[i] == 0) state.SkipWithError("a connection was not found");
    }
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(BM_TableLookup)->Arg(1 << 10)->Arg(1 << 16)->Arg(1 << 20)->Arg(1 << 23);

void BM_TableInsertAndRemove(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  ConnectionTable table(flows + 1, HashSecret::Random());
  for (uint32_t flow = 0; flow < flows; ++flow) table.Insert(ConnectionOf(flow), {});
  uint32_t flow = flows;
  for (auto _ : state) {
    Connection* connection = table.Insert(ConnectionOf(flow++), {});
    if (connection == nullptr) state.SkipWithError("the table is full");
    table.Remove(*connection);
  }
}
BENCHMARK(BM_TableInsertAndRemove)->Arg(1 << 10)->Arg(1 << 16)->Arg(1 << 20)->Arg(1 << 23);

// Filed, taken when due, filed again: what a timer costs in its life.
void BM_TimerWheel(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  TimerWheel wheel(timers, 0);
  std::mt19937 random(1);
  for (uint32_t i = 1; i <= timers; ++i) wheel.File(i, random() % 75'000);
  Jiffies now = 0;
  uint32_t due[kBurst];
  int64_t taken = 0;
  for (auto _ : state) {
    const int count = wheel.TakeDue(now, due, kBurst);
    for (int i = 0; i < count; ++i) wheel.File(due[i], now + 75'000);
    if (count < kBurst) ++now;
    taken += count;
  }
  state.SetItemsProcessed(taken);
}
BENCHMARK(BM_TimerWheel)->Arg(1 << 10)->Arg(1 << 16)->Arg(1 << 20)->Arg(1 << 23);

// Every connection expires in the same second: what does one round of housekeeping cost at most, beside which
// a burst would have to wait?
void BM_ExpireAtOnce(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  rte_mempool* pool = PacketPoolForTest();
  for (auto _ : state) {
    Traffic traffic({.flows = flows});
    Balancer balancer({.connections = flows}, traffic, 0, 1);
    if (!balancer.OpenFlows(traffic, pool)) state.SkipWithError("not every flow was opened");
    Worker& worker = balancer.worker(0);
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
    ->Arg(1 << 10)
    ->Arg(1 << 16)
    ->Arg(1 << 20)
    ->Arg(1 << 23)
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

// A packet's step in its protocol's table of states, of connections in any.
void BM_TcpState(benchmark::State& state) {
  constexpr size_t kMany = 4096;
  std::mt19937 random(1);
  std::vector<uint8_t> states(kMany), flags(kMany);
  for (size_t i = 0; i < kMany; ++i) {
    states[i] = static_cast<uint8_t>(random() % kTcpStates);
    flags[i] = static_cast<uint8_t>(random());
  }
  size_t i = 0;
  for (auto _ : state) {
    const size_t at = i++ % kMany;
    benchmark::DoNotOptimize(NextTcpState(i % 2 ? Seen::kIn : Seen::kOut, flags[at], states[at], false));
  }
}
BENCHMARK(BM_TcpState);

void BM_SctpState(benchmark::State& state) {
  constexpr size_t kMany = 4096;
  std::mt19937 random(1);
  std::vector<uint8_t> states(kMany), chunks(kMany);
  for (size_t i = 0; i < kMany; ++i) {
    states[i] = static_cast<uint8_t>(random() % kSctpStates);
    chunks[i] = static_cast<uint8_t>(random() % 16);
  }
  size_t i = 0;
  for (auto _ : state) {
    const size_t at = i++ % kMany;
    benchmark::DoNotOptimize(
        NextSctpState(i % 2 ? Seen::kIn : Seen::kOut, SctpEventOf(chunks[at], 0), states[at]));
  }
}
BENCHMARK(BM_SctpState);

// Both fragments of a datagram: the first is remembered, the second asks for its ports.
void BM_Fragments(benchmark::State& state) {
  FragmentTable table(HashSecret::Random());
  Ipv4Header ip{};
  ip.protocol = static_cast<uint8_t>(Protocol::kUdp);
  uint32_t count = 0;
  uint64_t found = 0;
  for (auto _ : state) {
    ip.identification = Be16::FromHost(static_cast<uint16_t>(++count));
    ip.source = Be32::FromHost(0x0a000000 + count % 4096);
    const FragmentTable::Key key = FragmentTable::Key::Of(ip);
    table.Learn(key, {Be16::FromHost(1000), Be16::FromHost(80)}, 1);
    found += table.Find(key, 1).has_value();
  }
  if (found != count) state.SkipWithError("a fragment was not found");
}
BENCHMARK(BM_Fragments);

void BM_SourceFilter(benchmark::State& state) {
  std::mt19937 random(1);
  SourceRanges ranges;
  for (int64_t i = 0; i < state.range(0); ++i) {
    const auto length = static_cast<uint8_t>(16 + random() % 17);
    ranges.allow.push_back({IpAddress::FromV4(Be32::FromHost(random())).Prefix(length), length});
  }
  const SourceFilter filter(ranges);
  uint32_t source = 1;
  for (auto _ : state) {
    source = source * 1664525 + 1013904223;
    benchmark::DoNotOptimize(filter.Admits(IpAddress::FromV4(Be32::FromHost(source))));
  }
}
BENCHMARK(BM_SourceFilter)->Arg(1)->Arg(1000)->Arg(100000);

// Prefixes of so many different lengths, from /64 upwards.
void BM_SourceFilterV6(benchmark::State& state) {
  std::mt19937 random(1);
  const auto address = [&] {
    Ipv6Address made;
    for (uint8_t& byte : made.bytes) byte = static_cast<uint8_t>(random());
    made.bytes[0] = 0x20;
    return IpAddress::FromV6(made);
  };
  SourceRanges ranges;
  for (int64_t i = 0; i < state.range(0); ++i) {
    const auto length = static_cast<uint8_t>(64 - random() % static_cast<uint32_t>(state.range(1)));
    ranges.allow.push_back({address().Prefix(length), length});
  }
  const SourceFilter filter(ranges);
  IpAddress source = address();
  for (auto _ : state) {
    for (size_t i = 1; i < 8; ++i) source.bytes[i] = static_cast<uint8_t>(source.bytes[i] * 5 + i);
    benchmark::DoNotOptimize(filter.Admits(source));
  }
}
BENCHMARK(BM_SourceFilterV6)->Args({1, 1})->Args({1000, 1})->Args({100000, 1})->Args({100000, 16});

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
