// sluiced: puts the parts together, waits for a signal, and takes them apart again.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "control/api_probe.h"
#include "control/config_file.h"
#include "control/config_store.h"
#include "control/grpc_server.h"
#include "control/ipvs/handover.h"
#include "control/kernel/kernel_feed.h"
#include "control/metrics/http_server.h"
#include "control/metrics/metrics_page.h"
#include "control/metrics/process_metrics.h"
#include "control/metrics/readiness.h"
#include "control/open_files.h"
#include "control/options.h"
#include "control/publisher.h"
#include "control/sluice_service.h"
#include "control/translate.h"
#include "dataplane/runtime/dataplane.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

constexpr char kVersion[] = SLUICE_VERSION;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluiced: %s\n", std::string(status.message()).c_str());
  return 1;
}

std::map<int, uint16_t> PortsByInterface(const Dataplane& dataplane) {
  std::map<int, uint16_t> ports;
  uint16_t number = 0;
  for (const PortStatus& port : dataplane.ports()) {
    if (port.kernel_interface_index != 0) ports[port.kernel_interface_index] = number;
    ++number;
  }
  return ports;
}

void PrintPorts(const Dataplane& dataplane) {
  for (const PortStatus& port : dataplane.ports()) {
    std::printf("port %s: %s, %d queue%s, kernel interface %s%s%s; packets come to workers: %s\n",
                port.name.c_str(), port.driver.c_str(), port.queues, port.queues == 1 ? "" : "s",
                port.kernel_interface.c_str(), port.xdp_mode.empty() ? "" : ", XDP ", port.xdp_mode.c_str(),
                port.spreading.c_str());
  }
}

HttpServer::Page PageOf(const Verdict& verdict) { return {verdict.is_good ? 200 : 503, verdict.text}; }

// Without an API nobody can change what is forwarded; but to start again would not help connections.
HttpServer::Pages PagesOf(SluiceService& service, const HttpServer& server, const ApiProbe& api) {
  constexpr size_t kMostSeries = 20'000;  // of services and real servers, each with some metrics
  const auto metrics = [&] {
    return HttpServer::Page{200, MetricsPage(service.Info(), service.Services(), kMostSeries) +
                                     ProcessMetrics() + server.Metrics()};
  };
  const auto unless_api_is_dead = [&](const Verdict& verdict) {
    const Verdict answers = api.Health();
    return PageOf(answers.is_good ? verdict : answers);
  };
  return {{"/metrics", metrics},
          {"/livez", [&] { return PageOf(Liveness(service.Info())); }},
          {"/healthz", [&, unless_api_is_dead] { return unless_api_is_dead(Liveness(service.Info())); }},
          {"/readyz", [&, unless_api_is_dead] { return unless_api_is_dead(Readiness(service.Info())); }}};
}

// What an earlier sluiced has kept; what cannot be used is reported and set aside.
absl::Status TakeUpState(const std::string& path, ConfigStore& store) {
  if (path.empty()) return absl::OkStatus();
  StateFile::Loaded loaded;
  absl::StatusOr<std::unique_ptr<StateFile>> file = StateFile::Open(path, loaded);
  if (!file.ok()) return file.status();
  if (loaded.whole.generation() > 0) {
    if (const absl::Status restored = store.Restore(loaded.whole); !restored.ok())
      loaded.damage = (*file)->SetAside(std::string(restored.message()));
  }
  if (!loaded.damage.empty()) std::fprintf(stderr, "sluiced: %s\n", loaded.damage.c_str());
  store.KeepIn(*std::move(file));
  return absl::OkStatus();
}

HandoverOptions OptionsOfHandover(const Options& options) {
  HandoverOptions handover{.use = options.kernel_ipvs,
                           .mirror = {},
                           .sync = {.policy = options.sync_policy},
                           .adopt = options.adopt,
                           .on_stall = options.on_stall,
                           .saved = {}};
  handover.mirror.resync = std::chrono::seconds(options.kernel_ipvs_resync_seconds);
  handover.mirror.strict_arp = options.strict_arp;
  handover.mirror.record =
      absl::StrCat(options.grpc.listen.substr(options.grpc.listen.find('/')), ".mirrored");
  for (const std::string& text : options.kernel_ipvs_excluded)
    handover.mirror.excluded.push_back(*ParsePrefix(text));
  if (!options.state_file.empty()) handover.saved = options.state_file + ".connections";
  return handover;
}

void AddCount(v1::GetInfoResponse& info, const char* name, const char* meaning, uint64_t value) {
  v1::CounterValue& counter = *info.add_counters();
  counter.set_name(name);
  counter.set_meaning(meaning);
  counter.set_value(value);
}

void DescribeConnections(const ConnectionCounts& counts, v1::GetInfoResponse& info) {
  AddCount(info, "api_connection_refused",
           "connections to the API beyond their bound, or for want of descriptors", counts.refused);
  AddCount(info, "api_connection_stalled",
           "connections to the API that were cut, because their client did not read", counts.stalled);
}

// Blocked before any thread is made, so that none but sigwait gets them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

void WaitForEnd(const sigset_t& signals) {
  int received = 0;
  do {
    sigwait(&signals, &received);
  } while (received == SIGHUP);  // a terminal that closes is no reason to stop
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<Options> options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  if (options->help) return std::fputs(kUsage, stdout), 0;
  if (options->version) return std::printf("sluiced %s\n", kVersion), 0;
  std::optional<ConfigFile> file;
  if (!options->config_file.empty()) {
    absl::StatusOr<ConfigFile> read = ConfigFile::Read(options->config_file);
    if (!read.ok()) return Fail(read.status());
    file = *std::move(read);
  }
  if (const absl::Status checked = GrpcServer::Check(options->grpc); !checked.ok()) return Fail(checked);
  const sigset_t signals = BlockSignals();
  RaiseOpenFileLimit();

  absl::StatusOr<std::unique_ptr<Dataplane>> started = Dataplane::Start(options->dataplane);
  if (!started.ok()) return Fail(started.status());
  Dataplane& dataplane = **started;
  dataplane.SetSteering(false);  // until there is something to forward, and the kernel's connections are here

  absl::StatusOr<std::unique_ptr<KernelFeed>> feed =
      KernelFeed::Start(PortsByInterface(dataplane), [&](std::shared_ptr<const Forwarding> forwarding) {
        if (const absl::Status published = dataplane.Publish(std::move(forwarding)); !published.ok())
          Fail(published);
      });
  if (!feed.ok()) return Fail(feed.status());
  dataplane.OnPortsMoved([&] { (*feed)->SetPorts(PortsByInterface(dataplane)); });
  const absl::Cleanup stop_telling = [&] { dataplane.OnPortsMoved(nullptr); };
  (*feed)->SetPorts(PortsByInterface(dataplane));  // what moved meanwhile
  Publisher publisher(
      {.destinations = &dataplane.destinations(),
       .publish =
           [&](std::shared_ptr<const Snapshot> snapshot) { return dataplane.Publish(std::move(snapshot)); },
       .statistics = [&](DestinationId id) { return dataplane.Statistics(id); },
       .keep_resolved = [&](const std::map<IpAddress, bool>& changes) { (*feed)->KeepResolved(changes); },
       .owners = dataplane.owners()});
  ConfigStore store(publisher);
  if (const absl::Status kept = TakeUpState(options->state_file, store); !kept.ok()) return Fail(kept);
  if (file) {
    const absl::StatusOr<v1::ApplyResponse> applied = store.Apply(file->request());
    if (!applied.ok()) return Fail(file->Explain(applied.status()));
  }
  const std::unique_ptr<Handover> handover =
      Handover::Start(OptionsOfHandover(*options), store, publisher, dataplane);
  const SluiceService::Switches switches = {
      .release = [&] { return handover->Release(); },
      .take_over = [&](const v1::TakeoverRequest& request) { return handover->TakeOver(request); },
      .start_daemon = [&](const v1::SyncDaemon& daemon) { return handover->StartDaemon(daemon); },
      .stop_daemon = [&] { return handover->StopDaemon(); }};
  StreamPlaces streams(options->streams);
  ConnectionCounts connections;
  SluiceService service(store, publisher, dataplane, switches, options->requests_per_second, streams,
                        options->roles, [&](v1::GetInfoResponse& info) {
                          info.set_version(kVersion);
                          handover->Describe(*info.mutable_kernel_mirror());
                          info.set_passes_stalled(dataplane.passes_stalled());
                          info.set_why_stalled(handover->WhyStalled());
                          info.set_routes((*feed)->route_count());
                          info.set_neighbours((*feed)->neighbour_count());
                          DescribeConnections(connections, info);
                        });
  const GrpcOptions& grpc = options->grpc;
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(grpc, service, streams, connections);
  if (!server.ok()) return Fail(server.status());
  const ApiProbe api(grpc.listen);
  absl::StatusOr<std::unique_ptr<HttpServer>> pages_server = HttpServer::Start();
  if (!pages_server.ok()) return Fail(pages_server.status());
  if (!options->metrics.empty()) {
    const absl::Status listening =
        (*pages_server)->Listen(options->metrics, PagesOf(service, **pages_server, api)).status();
    if (!listening.ok())
      return Fail(absl::UnavailableError(absl::StrCat("--metrics ", absl::string_view(listening.message()),
                                                      "; choose another ADDRESS:PORT, or none")));
  }

  PrintPorts(dataplane);
  std::printf("sluiced %s ready: %d worker%s, gRPC on %s%s%s\n", kVersion, dataplane.workers(),
              dataplane.workers() == 1 ? "" : "s", grpc.listen.c_str(),
              grpc.tls_address.empty() ? "" : " and with TLS on ", grpc.tls_address.c_str());
  std::fflush(stdout);
  WaitForEnd(signals);
  // Clients first, and packets before those who are slow to go.
  streams.End();
  handover->End();
  dataplane.SetSteering(false);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(std::vector<std::string>(argv + 1, argv + argc)); }
