// Plays scenarios against Sluice: one worker's pipeline in this process, configured through ConfigStore with
// sluiceadm's own command line; time is simulated.
//   play_sluice SCENARIO...
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "control/config_store.h"
#include "control/translate.h"
#include "dataplane/runtime/connection_query.h"
#include "dataplane/runtime/connection_status.h"
#include "sluice/v1/sluice.pb.h"
#include "tests/kernel/scenario.h"
#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"
#include "tools/sluiceadm/change.h"
#include "tools/sluiceadm/command_line.h"
#include "tools/sluiceadm/print.h"

namespace sluice {
namespace {

class SluiceBalancer final : public Balancer {
 public:
  SluiceBalancer() {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    // Every server behind one gateway: which MAC address it has is not the question here.
    spec.routes[1].legs[0].gateway = *IpAddress::Parse("10.1.0.1");
    spec.routes[1].source = *IpAddress::Parse("10.99.255.1");
    spec.routes[3].legs[0].gateway = *IpAddress::Parse("fd00:b::1");
    spec.routes[3].source = *IpAddress::Parse("fd00:99:ff::1");
    rig_.SetForwarding(spec);
    publisher_.KeepTime(now_);
  }

  bool SetSysctl(const std::string& name, const std::string& value) override {
    return Configure({"--set-sysctl", name + "=" + value});
  }
  bool AddMark(const std::string& rule) override { return Configure({"--add-fwmark-rule", rule}); }

  bool Configure(const std::vector<std::string>& words) override {
    const auto parsed = ParseCommandLine("ipvsadm", words);
    if (!std::holds_alternative<Command>(parsed)) return false;
    v1::ApplyRequest request;
    *request.add_changes() = ChangeOf(std::get<Command>(parsed));
    const auto applied = store_.Apply(request);
    if (!applied.ok()) std::fprintf(stderr, "%s\n", std::string(applied.status().message()).c_str());
    return applied.ok();
  }

  Arrival Send(const FrameBytes& frame, bool from_client) override {
    Outcome outcome = rig_.Send(std::vector<FrameBytes>{frame}, from_client ? 0 : 1).front();
    if (!rig_.pieces().empty()) outcome = rig_.pieces().front();
    if (outcome.where == "wire 0") return {"client", outcome.frame};
    if (outcome.where == "wire 1") return {"server", outcome.frame};
    return {outcome.where == "kernel input" ? "host" : "nowhere", {}};
  }

  void Wait(double seconds) override {
    for (; seconds > 0; seconds -= kStep) {
      rig_.Advance(std::min(seconds, kStep));
      now_ += std::chrono::milliseconds(static_cast<int>(std::min(seconds, kStep) * 1000));
      publisher_.KeepTime(now_);
    }
    while (KeepHouse(*rig_.worker) > 0) {
    }
  }

  std::vector<std::string> Connections(bool with_expiry) override {
    std::vector<std::string> lines;
    const auto add = [&](const ConnectionStatus& status, Jiffies deadline) {
      const std::string line = PrintConnection(ToMessage(status), true);
      std::istringstream words(line);
      std::string protocol, expire, rest;
      words >> protocol >> expire;
      for (std::string word; words >> word;) rest += " " + word;
      // A second that has begun counts, as in the kernel's player.
      if (with_expiry)
        rest += " " + std::to_string(status.expires_seconds +
                                     ((deadline - rig_.worker->now) % kJiffiesPerSecond != 0));
      lines.push_back(protocol + rest);
    };
    const ConnectionTable& table = rig_.worker->connections;
    for (uint32_t i = 1; i < table.IndexEnd(); ++i) {
      if (!table.IsInUse(i)) continue;
      add(StatusOf(table.ByIndex(i), AllAddressesOf(*rig_.worker, table.ByIndex(i)), rig_.worker->now, 0),
          table.ByIndex(i).deadline);
    }
    rig_.persistence->ForEach(
        [&](const Template& each) { add(StatusOf(each, rig_.worker->now), each.deadline); });
    return lines;
  }

  std::vector<std::string> Table(TableKind kind) override {
    if (kind == TableKind::kRates) Align();
    Command command{.numeric = true,
                    .statistics = kind == TableKind::kStatistics,
                    .rates = kind == TableKind::kRates,
                    .exact = true,
                    .persistent_connections = kind == TableKind::kPersistent};
    std::istringstream table(PrintServices(*store_.ListServices({}), command));
    std::vector<std::string> lines;
    for (std::string line; std::getline(table, line);) {
      const bool title =
          line.starts_with("IP Virtual") || line.starts_with("Prot") || line.starts_with("  -> Remote");
      line.erase(line.find_last_not_of(' ') + 1);
      if (!title) lines.push_back(line);
    }
    return lines;
  }

  // The publisher estimates at even seconds of its time.
  void Align() override { Wait(2 - std::fmod(Seconds(), 2)); }

 private:
  DestinationStatistics StatisticsOf(DestinationId id) {
    const StatisticsLine& line = rig_.worker->statistics[id];
    return {.connections = line.connections,
            .in_packets = line.in().packets,
            .out_packets = line.out().packets,
            .in_bytes = line.in().bytes,
            .out_bytes = line.out().bytes};
  }

  static constexpr double kStep = 0.5;

  double Seconds() const { return std::chrono::duration<double>(now_.time_since_epoch()).count(); }

  SnapshotBuilder::Clock::time_point now_{std::chrono::seconds(1000)};
  PipelineRig rig_;
  Publisher publisher_{{.destinations = &rig_.destinations,
                        .publish =
                            [this](std::shared_ptr<const Snapshot> snapshot) {
                              rig_.worker->Use(*snapshot, *rig_.forwarding);
                              std::swap(rig_.snapshot, snapshot);
                              return absl::OkStatus();
                            },
                        .statistics = [this](DestinationId id) { return StatisticsOf(id); },
                        .keep_resolved = [](const std::map<IpAddress, bool>&) {},
                        .own_time = true}};
  ConfigStore store_{publisher_};
};

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    std::stringstream text;
    text << file.rdbuf();
    sluice::SluiceBalancer balancer;
    std::printf("=== %s\n%s", argv[i], sluice::Play(text.str(), balancer).c_str());
  }
  return 0;
}
