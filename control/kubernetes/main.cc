// sluice-kube: watches a cluster's Services, EndpointSlices and this node, and tells sluiced what to forward. When it
// is gone, sluiced goes on with what it has.
// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "control/kubernetes/event_reporter.h"
#include "control/kubernetes/feed.h"
#include "control/kubernetes/health_checks.h"
#include "control/kubernetes/kube_options.h"
#include "control/kubernetes/reflector.h"
#include "control/kubernetes/sluiced_probe.h"
#include "control/metrics/http_server.h"
#include "control/metrics/process_metrics.h"
#include "tools/channel/channel.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr char kVersion[] = SLUICE_VERSION;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluice-kube: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::StatusOr<ApiAccess> AccessOf(const KubeOptions& options) {
  absl::StatusOr<ApiAccess> access =
      options.kubeconfig.empty() ? InCluster() : ReadKubeConfig(options.kubeconfig);
  if (!access.ok() && options.kubeconfig.empty() && !options.masters.empty()) access = ApiAccess();
  if (access.ok() && !options.masters.empty()) access->servers = options.masters;
  return access;
}

FeedOptions OptionsOfFeed(const KubeOptions& options) {
  FeedOptions feed{.node_name = options.node_name,
                   .node_ports = {.own_interfaces = {"sluice-ipvs0", "kube-ipvs0"},
                                  .prefixes = options.node_port_prefixes,
                                  .primary = options.node_port_primary},
                   .masquerade_addresses = options.masquerade_addresses,
                   .policy = {},
                   .timeouts = options.timeouts,
                   .sync_period = options.sync_period,
                   .min_sync_period = options.min_sync_period};
  feed.policy.excluded = options.excluded;
  feed.policy.scheduler = options.scheduler;
  feed.policy.masquerade_all = options.masquerade_all;
  feed.policy.knows_local_clients = options.has_node_cidr || !options.cluster_cidrs.empty();
  feed.policy.local_clients = options.has_node_cidr ? std::vector<Prefix>() : options.cluster_cidrs;
  feed.has_node_cidr = options.has_node_cidr;
  feed.policy.can_masquerade = !options.masquerade_addresses.empty();
  feed.policy.is_local_policy_compatible = options.is_local_policy_compatible;
  feed.policy.has_external_ips = options.has_external_ips;
  feed.policy.service_ranges = options.service_ranges;
  return feed;
}

// `good` and `bad`: how many answers were so.
HttpServer::Page HealthPage(bool is_healthy, const std::optional<bool>& is_eligible,
                            std::atomic<uint64_t>& good, std::atomic<uint64_t>& bad) {
  HttpServer::Page page = ProxyHealth::Page(is_healthy, is_eligible);
  ++(page.status == 200 ? good : bad);
  return page;
}

absl::Status Listen(const char* option, const std::string& where, HttpServer::Pages pages,
                    HttpServer& server) {
  if (where.empty() || where == "none") return absl::OkStatus();
  const absl::Status listening = server.Listen(where, std::move(pages)).status();
  if (listening.ok()) return listening;
  return absl::UnavailableError(
      absl::StrCat(option, " ", listening.message(), "; choose another ADDRESS:PORT, or none"));
}

// Health check ports and their clients need descriptors, and the soft limit is often 1024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Nothing must be finished here, as sluiced goes on with what it has; so a peer that hangs does not delay the
// end.
void EndSoon() {
  std::thread([] {
    std::this_thread::sleep_for(3s);
    std::_Exit(0);
  }).detach();
}

void LogWhatIsInUse(const KubeOptions& options, const std::string& sluiced) {
  for (const std::string& each : options.ignored) std::fprintf(stderr, "sluice-kube: %s\n", each.c_str());
  std::printf("sluice-kube %s: Using sluice proxier: scheduler %s, sluiced at %s, %s, policy Local %s\n",
              kVersion, options.scheduler.c_str(), sluiced.c_str(),
              options.is_gateway ? "a gateway" : absl::StrCat("node ", options.node_name).c_str(),
              options.is_local_policy_compatible ? "as kube-proxy's ipvs mode" : "strict");
  if (options.masquerade_addresses.empty()) {
    std::printf(
        "sluice-kube: without --masquerade-address clients' addresses are kept everywhere: endpoints must "
        "answer "
        "by this node\n");
  }
  std::fflush(stdout);
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<KubeOptions> parsed = ParseKubeOptions(arguments);
  if (!parsed.ok()) return Fail(parsed.status());
  const KubeOptions& options = *parsed;
  if (options.help) return std::fputs(kKubeUsage, stdout), 0;
  if (options.version) return std::printf("sluice-kube %s\n", kVersion), 0;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  curl_global_init(CURL_GLOBAL_DEFAULT);
  std::ofstream("/proc/self/oom_score_adj") << options.oom_score_adj;

  const absl::StatusOr<ApiAccess> access = AccessOf(options);
  if (!access.ok()) return Fail(access.status());
  Channel channel = OpenChannel(options.sluiced);
  if (!channel.wrong.empty()) return Fail(absl::InvalidArgumentError(channel.wrong));
  LogWhatIsInUse(options, channel.server);

  KubeMetrics metrics;
  Cluster cluster(options.node_name);
  EventReporter events(*access, options.node_name);
  SluicedProbe probe(OpenChannel(options.sluiced).stub, {});
  absl::StatusOr<std::unique_ptr<HttpServer>> pages = HttpServer::Start();
  if (!pages.ok()) return Fail(pages.status());
  HttpServer& server = **pages;
  std::unique_ptr<Feed> feed;
  // Sluiced forwards, and has everything that the cluster wants, at least once and without delay.
  const auto is_healthy = [&] {
    return metrics.last_sync.load() > 0 && feed->IsHealthy() && probe.Health().is_good;
  };
  HealthChecks checks(server, options.health_check_address, is_healthy,
                      [&](const ObjectName& service, const std::string& uid, const std::string& what) {
                        events.Report(service, uid, "FailedToStartServiceHealthcheck", what);
                      });
  feed = std::make_unique<Feed>(
      OptionsOfFeed(options), std::move(channel.stub), cluster, metrics,
      [&](const std::map<ObjectName, LocalHealth>& services) { checks.Set(services); },
      [&](const ObjectName& service, const std::string& uid, const char* reason, const std::string& what) {
        events.Report(service, uid, reason, what);
      });

  Reflector<ServiceObject> services(
      *access, {"/api/v1/services", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"},
      cluster);
  Reflector<SliceObject> slices(
      *access, {"/apis/discovery.k8s.io/v1/endpointslices", "!service.kubernetes.io/headless", ""}, cluster);
  std::unique_ptr<Reflector<NodeObject>> node;
  if (!options.is_gateway)
    node = std::make_unique<Reflector<NodeObject>>(
        *access, Collection{"/api/v1/nodes", "", absl::StrCat("metadata.name=", options.node_name)}, cluster);

  const auto is_eligible = [&]() -> std::optional<bool> {
    if (options.is_gateway) return true;
    const std::optional<NodeObject> known = cluster.Node();
    return known && !known->is_going;
  };
  const HttpServer::Pages health_pages = {
      {"/healthz",
       [&] { return HealthPage(is_healthy(), is_eligible(), metrics.healthz_ok, metrics.healthz_bad); }},
      {"/livez",
       [&] { return HealthPage(feed->IsHealthy(), std::nullopt, metrics.livez_ok, metrics.livez_bad); }}};
  const auto sum = [&](std::atomic<uint64_t> ReflectorCounts::*count) {
    return (services.counts().*count).load() + (slices.counts().*count).load() +
           (node == nullptr ? 0 : (node->counts().*count).load());
  };
  const HttpServer::Pages metrics_pages = {{"/metrics",
                                            [&] {
                                              metrics.lists.store(sum(&ReflectorCounts::lists));
                                              metrics.watches.store(sum(&ReflectorCounts::watches));
                                              metrics.events.store(sum(&ReflectorCounts::events));
                                              metrics.api_errors.store(sum(&ReflectorCounts::errors));
                                              metrics.refused_objects.store(sum(&ReflectorCounts::refused));
                                              std::string page =
                                                  metrics.Page() + ProcessMetrics() + server.Metrics();
                                              access->counts->Print(page);
                                              return HttpServer::Page{.text = page};
                                            }},
                                           {"/healthz", [] { return HttpServer::Page{.text = "ok\n"}; }},
                                           {"/proxyMode", [] { return HttpServer::Page{.text = "ipvs"}; }}};
  for (const absl::Status& listening :
       {Listen("--healthz-bind-address", options.healthz, health_pages, server),
        Listen("--metrics-bind-address", options.metrics, metrics_pages, server)}) {
    if (!listening.ok()) return server.Stop(), Fail(listening);
  }
  std::thread running([&] { feed->Run(); });
  int received = 0;
  sigwait(&signals, &received);
  server.Stop();  // load balancers look elsewhere, and a successor finds the ports free
  EndSoon();
  feed->Stop();
  services.Stop();
  slices.Stop();
  if (node != nullptr) node->Stop();
  running.join();
  return 0;
}

}  // namespace
}  // namespace sluice::kubernetes

int main(int argc, char** argv) {
  return sluice::kubernetes::Main(std::vector<std::string>(argv + 1, argv + argc));
}
