// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/metrics_page.h"

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "control/metrics/metric_value.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using Labels = std::vector<std::pair<const char*, std::string>>;

class Page {
 public:
  // All samples of a metric follow.
  void Begin(const char* name, const char* type, absl::string_view help) {
    name_ = name;
    absl::StrAppend(&text_, "# HELP ", name, " ", absl::StrReplaceAll(help, {{"\\", "\\\\"}, {"\n", "\\n"}}),
                    "\n# TYPE ", name, " ", type, "\n");
  }
  template <class Value>
  void Add(const Labels& labels, Value value, const char* suffix = "") {
    absl::StrAppend(&text_, name_, suffix);
    const char* open = "{";
    for (const auto& [name, text] : labels) {
      absl::StrAppend(&text_, open, name, "=\"",
                      absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
      open = ",";
    }
    absl::StrAppend(&text_, labels.empty() ? " " : "} ", MetricValue(value), "\n");
  }
  template <class Value>
  void One(const char* name, const char* type, absl::string_view help, Value value) {
    Begin(name, type, help);
    Add({}, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  const char* name_ = "";
  std::string text_;
};

Labels LabelsOf(const v1::ServiceKey& key) {
  if (key.fwmark() != 0) {
    return {{"protocol", "FWM"},
            {"address", key.family() == v1::IPV6 ? "ipv6" : "ipv4"},
            {"port", absl::StrCat(key.fwmark())}};
  }
  return {{"protocol", v1::Protocol_Name(key.protocol())},
          {"address", key.address()},
          {"port", absl::StrCat(key.port())}};
}

// With Kubernetes' names where it knows the service by one.
Labels LabelsOf(const v1::Service& service) {
  Labels labels = LabelsOf(service.key());
  if (!service.has_kubernetes()) return labels;
  labels.emplace_back("namespace", service.kubernetes().namespace_());
  labels.emplace_back("service", service.kubernetes().service());
  labels.emplace_back("service_port", service.kubernetes().port());
  return labels;
}

Labels LabelsOf(const v1::Service& service, const v1::Destination& destination) {
  Labels labels = LabelsOf(service);
  labels.emplace_back("server_address", destination.address());
  labels.emplace_back("server_port", absl::StrCat(destination.port()));
  if (!destination.endpoint().empty()) labels.emplace_back("endpoint", destination.endpoint());
  return labels;
}

void AddProcess(Page& page, const v1::GetInfoResponse& info) {
  page.Begin("sluice_build_info", "gauge", "Always 1; the version is a label.");
  page.Add({{"version", info.version()}}, 1);
  page.One("sluice_uptime_seconds", "gauge", "Since sluiced was started.", info.uptime_seconds());
  page.One("sluice_config_generation", "gauge", "The generation of the configuration that workers use.",
           info.generation());
  page.One("sluice_connections", "gauge", "Connections of all workers.", info.connections());
  page.One("sluice_connection_capacity", "gauge", "Connections there is room for.",
           info.connection_capacity());
  page.One("sluice_routes", "gauge", "Routes followed from the host.", info.routes());
  page.One("sluice_neighbours", "gauge", "Neighbours followed from the host.", info.neighbours());
  page.One("sluice_config_refused_total", "counter",
           "Requests to change the configuration that were refused.", info.refused_applies());
  page.One("sluice_refused_requests_total", "counter",
           "Requests that were refused because there were too many, or too many streams.",
           info.refused_requests());
  page.One("sluice_streams", "gauge", "Lists and watches that are open.", info.streams());
  page.One("sluice_drained", "gauge", "1: this node is drained, and /readyz says so.",
           info.drained() ? 1 : 0);
  page.Begin("sluice_config_apply_seconds", "histogram",
             "From a request to change the configuration until workers use it and it is on disk.");
  const v1::ApplyTimes& times = info.apply_times();
  for (int i = 0; i < times.upper_bounds_size(); ++i)
    page.Add({{"le", MetricValue(times.upper_bounds(i))}}, times.counts(i), "_bucket");
  const uint64_t all = times.counts_size() == 0 ? 0 : times.counts(times.counts_size() - 1);
  page.Add({{"le", "+Inf"}}, all, "_bucket");
  page.Add({}, times.sum_seconds(), "_sum");
  page.Add({}, all, "_count");
}

void AddWorkers(Page& page, const v1::GetInfoResponse& info) {
  const auto each = [&](const char* name, const char* type, const char* help, const auto& value) {
    page.Begin(name, type, help);
    for (int i = 0; i < info.worker_infos_size(); ++i)
      page.Add({{"worker", absl::StrCat(i)}}, value(info.worker_infos(i)));
  };
  using Worker = v1::WorkerInfo;
  each("sluice_worker_rounds_total", "counter", "Rounds of a worker's loop.",
       [](const Worker& w) { return w.rounds(); });
  each("sluice_worker_bursts_total", "counter", "Bursts of 1 to 32 packets that a worker took.",
       [](const Worker& w) { return w.bursts(); });
  each("sluice_worker_packets_total", "counter",
       "Packets that a worker took from its queues and from other workers.",
       [](const Worker& w) { return w.packets(); });
  each("sluice_worker_busy_seconds_total", "counter", "Time in rounds that found something to do.",
       [](const Worker& w) { return w.busy_seconds(); });
  each("sluice_worker_connections", "gauge", "Connections in a worker's table.",
       [](const Worker& w) { return w.connections(); });
  each("sluice_worker_timer_lag_seconds", "gauge", "How late a worker's timers are.",
       [](const Worker& w) { return w.timer_lag_seconds(); });
  each("sluice_worker_silent_seconds", "gauge",
       "Since a worker began its last round; more than some hundredths is a worker that hangs.",
       [](const Worker& w) { return w.silent_seconds(); });
  each("sluice_worker_heartbeat_limit_seconds", "gauge",
       "After so much silence a worker stands still; it grows under load, and falls back.",
       [](const Worker& w) { return w.heartbeat_limit_seconds(); });
}

void AddPorts(Page& page, const v1::GetInfoResponse& info) {
  page.Begin("sluice_port_up", "gauge", "Whether a port has link.");
  for (const v1::PortInfo& port : info.ports()) page.Add({{"port", port.name()}}, port.link_up() ? 1 : 0);
  page.Begin("sluice_port_attached", "gauge",
             "Whether packets come: our XDP program is on the interface, or the device is ours.");
  for (const v1::PortInfo& port : info.ports()) page.Add({{"port", port.name()}}, port.attached() ? 1 : 0);
  page.Begin("sluice_port_queues", "gauge", "Receive queues of a port.");
  for (const v1::PortInfo& port : info.ports()) page.Add({{"port", port.name()}}, port.queues());
  const auto each_queue = [&](const char* name, const char* help, const auto& value) {
    page.Begin(name, "counter", help);
    for (const v1::PortInfo& port : info.ports()) {
      for (int queue = 0; queue < port.queue_infos_size(); ++queue)
        page.Add({{"port", port.name()}, {"queue", absl::StrCat(queue)}}, value(port.queue_infos(queue)));
    }
  };
  using Queue = v1::QueueInfo;
  each_queue("sluice_queue_received_packets_total", "Packets that a port's queue received.",
             [](const Queue& queue) { return queue.received_packets(); });
  each_queue("sluice_queue_received_bytes_total", "Bytes that a port's queue received.",
             [](const Queue& queue) { return queue.received_bytes(); });
  each_queue("sluice_queue_sent_packets_total", "Packets that a port's queue sent.",
             [](const Queue& queue) { return queue.sent_packets(); });
  each_queue("sluice_queue_sent_bytes_total", "Bytes that a port's queue sent.",
             [](const Queue& queue) { return queue.sent_bytes(); });
  page.Begin("sluice_local_address_ports_free", "gauge",
             "Free ports of a full NAT address towards the real server with the fewest.");
  for (const v1::LocalAddressInfo& local : info.local_addresses())
    page.Add({{"address", local.address()}}, local.fewest_free());
}

// Reasons are the names of GetInfo's counters, whose meanings are there.
void AddCounters(Page& page, const v1::GetInfoResponse& info) {
  const std::pair<const char*, std::pair<const char*, const char*>> kinds[] = {
      {"drop_", {"sluice_dropped_packets_total", "Packets that went no further, by reason."}},
      {"refused_", {"sluice_refused_packets_total", "Packets that were refused a connection, by reason."}},
      {"kernel_", {"sluice_kernel_packets_total", "Packets that were left to the kernel, by reason."}}};
  for (const auto& [prefix, name_and_help] : kinds) {
    page.Begin(name_and_help.first, "counter", name_and_help.second);
    for (const v1::CounterValue& counter : info.counters()) {
      absl::string_view name = counter.name();
      if (absl::ConsumePrefix(&name, prefix)) page.Add({{"reason", std::string(name)}}, counter.value());
    }
  }
  page.Begin("sluice_events_total", "counter", "All that is counted besides, by name.");
  for (const v1::CounterValue& counter : info.counters()) {
    bool has_its_own = false;
    for (const auto& [prefix, name_and_help] : kinds) has_its_own |= absl::StartsWith(counter.name(), prefix);
    if (!has_its_own) page.Add({{"event", counter.name()}}, counter.value());
  }
}

struct Figure {
  const char* name;
  const char* help;
  uint64_t (*value)(const v1::Statistics&);
};

constexpr Figure kFigures[] = {
    {"connections_total", "connections", [](const v1::Statistics& s) { return uint64_t{s.connections()}; }},
    {"in_packets_total", "packets to real servers",
     [](const v1::Statistics& s) { return uint64_t{s.in_packets()}; }},
    {"out_packets_total", "packets to clients",
     [](const v1::Statistics& s) { return uint64_t{s.out_packets()}; }},
    {"in_bytes_total", "bytes to real servers",
     [](const v1::Statistics& s) { return uint64_t{s.in_bytes()}; }},
    {"out_bytes_total", "bytes to clients", [](const v1::Statistics& s) { return uint64_t{s.out_bytes()}; }},
};

void AddServices(Page& page, const v1::ListServicesResponse& services, size_t most) {
  size_t told = 0;
  int count = 0;
  while (count < services.services_size()) {
    const size_t size = 1 + static_cast<size_t>(services.services(count).destinations_size());
    if (told + size > most) break;
    told += size;
    ++count;
  }
  page.One("sluice_services", "gauge", "Services that are configured.", services.services_size());
  page.One("sluice_metrics_services_left_out", "gauge",
           "Services that are not told one by one, because there are too many.",
           services.services_size() - count);
  for (const Figure& figure : kFigures) {
    const std::string total = absl::StrCat("sluice_", figure.name);
    page.One(total.c_str(), "counter",
             absl::StrCat("Of all services, those deleted since included: ", figure.help, "."),
             figure.value(services.total()));
  }
  for (const Figure& figure : kFigures) {
    const std::string name = absl::StrCat("sluice_service_", figure.name);
    page.Begin(name.c_str(), "counter", absl::StrCat("Of a service: ", figure.help, "."));
    for (int i = 0; i < count; ++i)
      page.Add(LabelsOf(services.services(i).service()), figure.value(services.services(i).statistics()));
  }
  const auto each_server = [&](const char* name, const char* type, const std::string& help,
                               const auto& value) {
    page.Begin(name, type, help);
    for (int i = 0; i < count; ++i) {
      const v1::ServiceStatus& service = services.services(i);
      for (const v1::DestinationStatus& status : service.destinations())
        page.Add(LabelsOf(service.service(), status.destination()), value(status));
    }
  };
  for (const Figure& figure : kFigures) {
    const std::string name = absl::StrCat("sluice_server_", figure.name);
    each_server(name.c_str(), "counter", absl::StrCat("Of a service's real server: ", figure.help, "."),
                [&](const v1::DestinationStatus& status) { return figure.value(status.statistics()); });
  }
  each_server("sluice_server_weight", "gauge", "A real server's weight; 0: it is drained.",
              [](const v1::DestinationStatus& status) { return status.destination().weight(); });
  each_server("sluice_server_active_connections", "gauge", "Of a service's real server.",
              [](const v1::DestinationStatus& status) { return status.active_connections(); });
  each_server("sluice_server_inactive_connections", "gauge", "Of a service's real server.",
              [](const v1::DestinationStatus& status) { return status.inactive_connections(); });
}

// 1 where Sluice forwards; lag in generations of the configuration.
void AddKernelMirror(Page& page, const v1::GetInfoResponse& info) {
  const v1::KernelMirror& mirror = info.kernel_mirror();
  page.One("sluice_steering", "gauge", "1: packets come to Sluice; 0: the kernel's IPVS forwards.",
           mirror.steering() ? 1 : 0);
  page.One("sluice_kernel_mirror_up", "gauge", "1: the kernel's IPVS is kept loaded with our services.",
           mirror.on() ? 1 : 0);
  if (!mirror.on()) return;
  const uint64_t behind =
      info.generation() > mirror.generation() ? info.generation() - mirror.generation() : 0;
  page.One("sluice_kernel_mirror_lag_generations", "gauge",
           "Generations of the configuration that the kernel does not have yet.", behind);
  page.Begin("sluice_kernel_mirror_services", "gauge",
             "Services by how the kernel has them: as they are here, approximately, not at all.");
  page.Add({{"form", "mirrored"}}, mirror.services() - mirror.approximated_services());
  page.Add({{"form", "approximated"}}, mirror.approximated_services());
  page.Add({{"form", "impossible"}}, mirror.impossible_services());
  page.One("sluice_kernel_mirror_repairs_total", "counter",
           "Services that somebody else had changed in the kernel.", mirror.repairs());
  page.One("sluice_kernel_mirror_contested_services", "gauge",
           "Services that somebody else changes again and again, and that are left alone for a while.",
           mirror.contested_services());
  page.One("sluice_kernel_unsent_sync_messages_total", "counter",
           "Messages about connections that could not be sent to the kernel.", mirror.unsent_sync_messages());
  page.One("sluice_kernel_mirror_errors_total", "counter", "Requests that the kernel refused.",
           mirror.errors());
  page.One("sluice_kernel_told_connections_total", "counter", "Connections that the kernel was told of.",
           mirror.told_connections());
  page.One("sluice_kernel_untold_connections_total", "counter",
           "Connections that it was not told of, because there were too many at once.",
           mirror.untold_connections());
  page.One("sluice_adopted_connections_total", "counter", "Connections that were the kernel's before.",
           mirror.adopted_connections());
}

}  // namespace

std::string MetricsPage(const v1::GetInfoResponse& info, const v1::ListServicesResponse& services,
                        size_t most) {
  Page page;
  AddProcess(page, info);
  AddWorkers(page, info);
  AddPorts(page, info);
  AddCounters(page, info);
  AddKernelMirror(page, info);
  AddServices(page, services, most);
  return page.Take();
}

}  // namespace sluice
