// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/status.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {
namespace {

std::string NameOf(const v1::ServiceKey& key) {
  if (key.fwmark() != 0) return absl::StrCat("FWM ", key.fwmark(), key.family() == v1::IPV6 ? " IPv6" : "");
  const bool is_v6 = key.address().find(':') != std::string::npos;
  return absl::StrCat(v1::Protocol_Name(key.protocol()), " ", is_v6 ? "[" : "", key.address(),
                      is_v6 ? "]:" : ":", key.port());
}

std::string Duration(uint64_t seconds) {
  if (seconds < 120) return absl::StrCat(seconds, " s");
  if (seconds < 7200) return absl::StrCat(seconds / 60, " min");
  if (seconds < 172800) return absl::StrCat(seconds / 3600, " h");
  return absl::StrCat(seconds / 86400, " days");
}

std::vector<std::string> Warnings(const v1::GetInfoResponse& before, const v1::GetInfoResponse& now,
                                  const v1::ListServicesResponse& services) {
  std::vector<std::string> warnings;
  if (now.drained()) warnings.push_back("this node is drained: sluice drain --node --undo ends it");
  for (int i = 0; i < now.worker_infos_size(); ++i) {
    if (now.worker_infos(i).silent_seconds() > 1)
      warnings.push_back(absl::StrFormat("worker %d has been silent for %.1f s: its packets %s", i,
                                         now.worker_infos(i).silent_seconds(),
                                         now.passes_stalled() ? "go to the kernel" : "are dropped"));
  }
  for (const v1::PortInfo& port : now.ports()) {
    if (!port.trouble().empty()) {
      warnings.push_back(port.trouble_seconds() < 1
                             ? port.trouble()
                             : absl::StrCat(port.trouble(), " (for ",
                                            Duration(static_cast<uint64_t>(port.trouble_seconds())), ")"));
    } else if (!port.link_up()) {
      warnings.push_back(absl::StrCat("port ", port.name(), " has no link"));
    }
  }
  if (now.connections() * 5 > now.connection_capacity() * 4) {
    warnings.push_back(absl::StrCat(now.connections(), " of ", now.connection_capacity(),
                                    " connections are taken: give sluiced more with --connections"));
  }
  std::map<std::string, uint64_t> earlier;
  for (const v1::CounterValue& counter : before.counters()) earlier[counter.name()] = counter.value();
  for (const v1::CounterValue& counter : now.counters()) {
    const uint64_t more = counter.value() - earlier[counter.name()];
    if (more > 0 &&
        (absl::StartsWith(counter.name(), "drop_") || absl::StartsWith(counter.name(), "refused_")))
      warnings.push_back(absl::StrCat(counter.name(), " just grew by ", more, ": ", counter.meaning()));
  }
  for (const v1::LocalAddressInfo& local : now.local_addresses()) {
    if (local.fewest_free() < 6451) {
      warnings.push_back(absl::StrCat("local address ", local.address(), " has ", local.fewest_free(),
                                      " free ports towards ", local.fewest_free_towards(),
                                      ": add another with sluiceadm --add-laddr"));
    }
  }
  constexpr int kMostNotes = 5;
  const v1::KernelMirror& mirror = now.kernel_mirror();
  if (mirror.contested_services() > 0) {
    warnings.push_back(absl::StrCat(
        mirror.contested_by(), " changes ", mirror.contested_services(),
        " of our services in the kernel's IPVS again and again: they are left alone for a while"));
  }
  for (int i = 0; i < std::min(kMostNotes, mirror.notes_size()); ++i) {
    const v1::KernelMirror::Note& note = mirror.notes(i);
    warnings.push_back(absl::StrCat("kernel IPVS ", note.impossible() ? "cannot have " : "has less of ",
                                    NameOf(note.service()), ": ", note.what()));
  }
  if (mirror.notes_size() > kMostNotes)
    warnings.push_back(
        absl::StrCat("and of ", mirror.approximated_services() + mirror.impossible_services() - kMostNotes,
                     " more services; sluice status --json tells a hundred"));
  constexpr size_t kMostServices = 5;
  size_t closed = 0;
  for (const v1::ServiceStatus& service : services.services()) {
    const auto& servers = service.destinations();
    const bool open = std::any_of(servers.begin(), servers.end(), [](const v1::DestinationStatus& server) {
      return server.destination().weight() > 0;
    });
    if (!open && ++closed <= kMostServices)
      warnings.push_back(
          absl::StrCat(NameOf(service.service().key()), " has no real server with a weight above 0"));
  }
  if (closed > kMostServices)
    warnings.push_back(absl::StrCat("and ", closed - kMostServices, " more services have none"));
  return warnings;
}

}  // namespace

std::string StatusText(const v1::GetInfoResponse& before, const v1::GetInfoResponse& now, double seconds,
                       const v1::ListServicesResponse& services) {
  std::string text =
      absl::StrFormat("sluiced %s, up %s, configuration %d: %d services, %d connections (room for %d)\n\n",
                      now.version(), Duration(now.uptime_seconds()), now.generation(),
                      services.services_size(), now.connections(), now.connection_capacity());
  absl::StrAppendFormat(&text, "%-16s %-12s %-4s %6s  %s\n", "Port", "Driver", "Link", "Queues",
                        "Kernel interface");
  for (const v1::PortInfo& port : now.ports()) {
    absl::StrAppendFormat(&text, "%-16s %-12s %-4s %6d  %s\n", port.name(), port.driver(),
                          port.gone()      ? "gone"
                          : port.link_up() ? "up"
                                           : "down",
                          port.queues(), port.kernel_interface());
  }
  absl::StrAppendFormat(&text, "\n%-6s %6s %12s %14s %12s %10s\n", "Worker", "Busy", "Packets/s",
                        "Packets/burst", "Connections", "Timers");
  for (int i = 0; i < now.worker_infos_size() && i < before.worker_infos_size(); ++i) {
    const v1::WorkerInfo& a = before.worker_infos(i);
    const v1::WorkerInfo& b = now.worker_infos(i);
    const auto packets = static_cast<double>(b.packets() - a.packets());
    const auto bursts = static_cast<double>(b.bursts() - a.bursts());
    absl::StrAppendFormat(&text, "%-6d %5.1f%% %12.0f %14.1f %12d %7.0f ms\n", i,
                          std::min(100.0, 100 * (b.busy_seconds() - a.busy_seconds()) / seconds),
                          packets / seconds, bursts > 0 ? packets / bursts : 0, b.connections(),
                          b.timer_lag_seconds() * 1000);
  }
  const v1::KernelMirror& mirror = now.kernel_mirror();
  absl::StrAppend(&text, "\n", mirror.steering() ? "Sluice" : "The kernel", " forwards. Kernel IPVS: ",
                  mirror.on() ? absl::StrCat("has ", mirror.services(), " of our services, ",
                                             mirror.approximated_services(), " of them approximately, ",
                                             mirror.impossible_services(), " cannot be there")
                              : absl::StrCat("not mirrored: ", mirror.why_off()),
                  "\n");
  if (now.worker_infos_size() > 0 && now.worker_infos(0).heartbeat_limit_seconds() > 0) {
    double limit = 0;
    for (const v1::WorkerInfo& worker : now.worker_infos())
      limit = std::max(limit, worker.heartbeat_limit_seconds());
    absl::StrAppendFormat(&text, "A worker that is silent for %.0f ms: its packets are %s, for %s\n",
                          limit * 1000, now.passes_stalled() ? "the kernel's" : "dropped, and sent again",
                          now.why_stalled());
  }
  absl::StrAppend(&text, "\n", StatsText(services, 5));
  const std::vector<std::string> warnings = Warnings(before, now, services);
  text += warnings.empty() ? "\nNothing to worry about.\n" : "\nLook at:\n";
  for (const std::string& warning : warnings) absl::StrAppend(&text, "  ", warning, "\n");
  return text;
}

std::string StatsText(const v1::ListServicesResponse& services, int most) {
  std::vector<const v1::ServiceStatus*> busiest;
  for (const v1::ServiceStatus& service : services.services()) busiest.push_back(&service);
  const auto packets = [](const v1::ServiceStatus* service) {
    return service->rates().in_packets() + service->rates().out_packets();
  };
  std::stable_sort(busiest.begin(), busiest.end(),
                   [&](const auto* a, const auto* b) { return packets(a) > packets(b); });
  std::string text = absl::StrFormat("%-44s %8s %8s %10s %10s %10s\n", "Service", "Servers", "Active",
                                     "New/s", "Packets/s", "kbit/s");
  for (int i = 0; i < std::min<int>(most, static_cast<int>(busiest.size())); ++i) {
    const v1::ServiceStatus& service = *busiest[static_cast<size_t>(i)];
    uint64_t active = 0;
    for (const v1::DestinationStatus& server : service.destinations()) active += server.active_connections();
    absl::StrAppendFormat(&text, "%-44s %8d %8d %10d %10d %10d\n", NameOf(service.service().key()),
                          service.destinations_size(), active, service.rates().connections(),
                          packets(&service),
                          (service.rates().in_bytes() + service.rates().out_bytes()) * 8 / 1000);
  }
  return text;
}

}  // namespace sluice
