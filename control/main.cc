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

#include "control/config_file.h"
#include "control/config_store.h"
#include "control/grpc_server.h"
#include "control/kernel/kernel_feed.h"
#include "control/options.h"
#include "control/publisher.h"
#include "control/sluice_service.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {
namespace {

constexpr char kVersion[] = SLUICE_VERSION;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluiced: %s\n", std::string(status.message()).c_str());
  return 1;
}

std::map<int, uint16_t> PortsByInterface(const Dataplane& dataplane) {
  std::map<int, uint16_t> ports;
  for (size_t i = 0; i < dataplane.ports().size(); ++i)
    ports[dataplane.ports()[i].kernel_interface_index] = static_cast<uint16_t>(i);
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
  const sigset_t signals = BlockSignals();

  absl::StatusOr<std::unique_ptr<Dataplane>> started = Dataplane::Start(options->dataplane);
  if (!started.ok()) return Fail(started.status());
  Dataplane& dataplane = **started;

  absl::StatusOr<std::unique_ptr<KernelFeed>> feed =
      KernelFeed::Start(PortsByInterface(dataplane), [&](std::shared_ptr<const Forwarding> forwarding) {
        if (const absl::Status published = dataplane.Publish(std::move(forwarding)); !published.ok())
          Fail(published);
      });
  if (!feed.ok()) return Fail(feed.status());
  Publisher publisher(
      {.destinations = &dataplane.destinations(),
       .publish =
           [&](std::shared_ptr<const Snapshot> snapshot) { return dataplane.Publish(std::move(snapshot)); },
       .statistics = [&](DestinationId id) { return dataplane.Statistics(id); },
       .keep_resolved = [&](const std::map<IpAddress, bool>& changes) { (*feed)->KeepResolved(changes); },
       .owners = dataplane.owners()});
  ConfigStore store(publisher);
  if (file) {
    const absl::StatusOr<v1::ApplyResponse> applied = store.Apply(file->request());
    if (!applied.ok()) return Fail(file->Explain(applied.status()));
  }
  SluiceService service(store, dataplane, [&](v1::GetInfoResponse& info) {
    info.set_version(kVersion);
    info.set_routes((*feed)->route_count());
    info.set_neighbours((*feed)->neighbour_count());
  });
  const absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(options->listen, service);
  if (!server.ok()) return Fail(server.status());

  PrintPorts(dataplane);
  std::printf("sluiced %s ready: %d worker%s, gRPC on %s\n", kVersion, dataplane.workers(),
              dataplane.workers() == 1 ? "" : "s", options->listen.c_str());
  std::fflush(stdout);
  WaitForEnd(signals);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(std::vector<std::string>(argv + 1, argv + argc)); }
