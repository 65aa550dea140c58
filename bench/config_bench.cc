// Changes: building and publishing configurations and routes.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "control/config_file.h"
#include "control/config_store.h"
#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/snapshot_builder.h"

namespace sluice {
namespace {

ServiceSpec SpecOf(uint32_t service, int destinations) {
  ServiceSpec spec{
      .key = {IpAddress::FromV4(Be32::FromHost(0x0a630000 + service)), Be16::FromHost(80), Protocol::kTcp},
      .scheduler = "rr"};
  for (int i = 0; i < destinations; ++i) {
    spec.destinations.push_back(
        {IpAddress::FromV4(Be32::FromHost(0x0b000000 + service * 16 + static_cast<uint32_t>(i))),
         Be16::FromHost(8080), 1});
  }
  return spec;
}

// One change, then the snapshot that the workers get.
void BM_SnapshotPublish(benchmark::State& state) {
  DestinationTable destinations;
  SnapshotBuilder builder(destinations);
  const auto services = static_cast<uint32_t>(state.range(0));
  for (uint32_t i = 0; i < services; ++i) builder.Put(SpecOf(i, 10));
  std::shared_ptr<const Snapshot> snapshot = builder.Build();
  builder.Published();
  uint32_t round = 0;
  for (auto _ : state) {
    ServiceSpec spec = SpecOf(round % services, 10);
    spec.destinations[0].weight = 1 + static_cast<int>(round++ % 100);
    builder.Put(spec);
    snapshot = builder.Build();
    builder.Published();
  }
}
BENCHMARK(BM_SnapshotPublish)->Arg(1)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

void BM_SnapshotFromNothing(benchmark::State& state) {
  for (auto _ : state) {
    DestinationTable destinations;
    SnapshotBuilder builder(destinations);
    for (uint32_t i = 0; i < state.range(0); ++i) builder.Put(SpecOf(i, 10));
    benchmark::DoNotOptimize(builder.Build());
  }
}
BENCHMARK(BM_SnapshotFromNothing)->Arg(10000)->Unit(benchmark::kMillisecond);

v1::Change PutServer(uint32_t service, int server, uint32_t weight) {
  v1::Change change;
  v1::PutDestination& put = *change.mutable_put_destination();
  put.mutable_service()->set_protocol(v1::TCP);
  put.mutable_service()->set_address(IpAddress::FromV4(Be32::FromHost(0x0a630000 + service)).ToString());
  put.mutable_service()->set_port(80);
  put.mutable_destination()->set_address(
      IpAddress::FromV4(Be32::FromHost(0x0b000000 + service * 16 + static_cast<uint32_t>(server)))
          .ToString());
  put.mutable_destination()->set_port(8080);
  put.mutable_destination()->set_method(v1::NAT);
  put.mutable_destination()->set_weight(weight);
  return change;
}

// The control side without workers.
struct Control {
  DestinationTable destinations;
  std::shared_ptr<const Snapshot> published;
  Publisher publisher{{.destinations = &destinations,
                       .publish =
                           [this](std::shared_ptr<const Snapshot> snapshot) {
                             return published = std::move(snapshot), absl::OkStatus();
                           },
                       .statistics = [](DestinationId) { return DestinationStatistics(); },
                       .keep_resolved = [](const std::map<IpAddress, bool>&) {}}};
  ConfigStore store{publisher};
};

v1::ApplyRequest WholeRequest(uint32_t services) {
  v1::ApplyRequest all;
  for (uint32_t i = 0; i < services; ++i) {
    *all.add_changes()->mutable_put_service()->mutable_service()->mutable_key() =
        PutServer(i, 0, 1).put_destination().service();
    for (int server = 0; server < 10; ++server) *all.add_changes() = PutServer(i, server, 1);
  }
  return all;
}

// So many services with ten real servers each, from the request to the moment the workers would have them.
void BM_ApplyWhole(benchmark::State& state) {
  const v1::ApplyRequest all = WholeRequest(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    auto control = std::make_unique<Control>();
    state.ResumeTiming();
    if (!control->store.Apply(all).ok()) state.SkipWithError("the configuration was refused");
    state.PauseTiming();
    control.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(BM_ApplyWhole)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond)->UseRealTime();

// A --config file in JSON, to the request that it makes.
void BM_ConfigFile(benchmark::State& state) {
  std::string text = "{\"services\": [";
  for (uint32_t i = 0; i < state.range(0); ++i) {
    const v1::Change server = PutServer(i, 0, 1);
    absl::StrAppend(&text, i == 0 ? "" : ",\n", "{\"key\": {\"protocol\": \"TCP\", \"address\": \"",
                    server.put_destination().service().address(),
                    "\", \"port\": 80}, \"scheduler\": \"rr\", \"destinations\": [");
    for (int j = 0; j < 10; ++j) {
      absl::StrAppend(&text, j == 0 ? "" : ", ", "{\"address\": \"",
                      PutServer(i, j, 1).put_destination().destination().address(),
                      "\", \"port\": 8080, \"method\": \"NAT\", \"weight\": 1}");
    }
    text += "]}";
  }
  text += "]}";
  for (auto _ : state) {
    if (!ConfigFile::Parse("bench.json", text).ok()) state.SkipWithError("the file was refused");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_ConfigFile)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

// A change of one weight from the request to the moment the workers would have it, validation and all.
void BM_ApplyOneChange(benchmark::State& state) {
  Control control;
  ConfigStore& store = control.store;
  const auto services = static_cast<uint32_t>(state.range(0));
  if (!store.Apply(WholeRequest(services)).ok()) state.SkipWithError("the configuration was refused");
  uint32_t round = 0;
  for (auto _ : state) {
    v1::ApplyRequest request;
    *request.add_changes() = PutServer(round % services, 0, 2 + round / services);
    ++round;
    if (!store.Apply(request).ok()) state.SkipWithError("the change was refused");
  }
}
BENCHMARK(BM_ApplyOneChange)->Arg(1)->Arg(10000)->Unit(benchmark::kMicrosecond)->UseRealTime();

void BM_ForwardingBuild(benchmark::State& state) {
  ForwardingSpec spec;
  spec.links[1] = {.mac = {}, .mtu = 1500, .up = true, .port = 0};
  for (uint32_t i = 0; i < state.range(0); ++i) {
    spec.routes.push_back({.prefix = IpAddress::FromV4(Be32::FromHost(0x0b000000 + i * 256)),
                           .prefix_length = 24,
                           .legs = {{.interface = 1}}});
    spec.neighbours[{1, IpAddress::FromV4(Be32::FromHost(0x0b000001 + i * 256))}] =
        MacAddress{{2, 0, 0, 0, 0, 1}};
  }
  ForwardingBuilder builder;
  for (auto _ : state) benchmark::DoNotOptimize(builder.Build(spec));
}
BENCHMARK(BM_ForwardingBuild)->Arg(10)->Arg(10000)->Unit(benchmark::kMicrosecond);

void BM_ForwardingResolve(benchmark::State& state) {
  ForwardingSpec spec;
  spec.links[1] = {.mac = {}, .mtu = 1500, .up = true, .port = 0};
  for (uint32_t i = 0; i < state.range(0); ++i) {
    spec.routes.push_back({.prefix = IpAddress::FromV4(Be32::FromHost(0x0b000000 + i * 256)),
                           .prefix_length = 24,
                           .legs = {{.interface = 1}}});
  }
  ForwardingBuilder builder;
  const auto forwarding = builder.Build(spec);
  uint32_t address = 0x0b000000;
  for (auto _ : state) {
    benchmark::DoNotOptimize(forwarding->Resolve(IpAddress::FromV4(Be32::FromHost(address)), 0));
    address += 0x10001;
  }
}
BENCHMARK(BM_ForwardingResolve)->Arg(10)->Arg(10000);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
