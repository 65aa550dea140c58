// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/kube_metrics.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/metrics/metric_value.h"

namespace sluice::kubernetes {
namespace {

void Print(std::string& page, const char* name, const char* type, const char* help) {
  absl::StrAppend(&page, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

template <class Value>
void One(std::string& page, const char* name, const char* type, const char* help, Value value) {
  Print(page, name, type, help);
  absl::StrAppend(&page, name, " ", MetricValue(value), "\n");
}

}  // namespace

void Histogram::Observe(double value) {
  const MutexLock lock(mutex_);
  double bound = first_bound_;
  int place = 0;
  for (; place < bounds_ && value > bound; ++place) bound *= 2;
  ++counts_[static_cast<size_t>(place)];
  sum_ += value;
}

void Histogram::Print(const char* name, const char* help, std::string& page) const {
  const MutexLock lock(mutex_);
  kubernetes::Print(page, name, "histogram", help);
  double bound = first_bound_;
  uint64_t count = 0;
  for (int place = 0; place < bounds_; ++place, bound *= 2) {
    count += counts_[static_cast<size_t>(place)];
    absl::StrAppend(&page, name, "_bucket{le=\"", MetricValue(bound), "\"} ", count, "\n");
  }
  count += counts_[static_cast<size_t>(bounds_)];
  absl::StrAppend(&page, name, "_bucket{le=\"+Inf\"} ", count, "\n", name, "_sum ", MetricValue(sum_), "\n",
                  name, "_count ", count, "\n");
}

std::string KubeMetrics::Page() const {
  std::string page;
  sync_duration.Print("kubeproxy_sync_proxy_rules_duration_seconds",
                      "How long it took to bring news to sluiced", page);
  programming_duration.Print("kubeproxy_network_programming_duration_seconds",
                             "From what happened to endpoints until sluiced forwards by it", page);
  One(page, "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "gauge", "When sluiced last had everything",
      absl::StrFormat("%.3f", last_sync.load()));
  One(page, "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "gauge",
      "When there was last something to do", absl::StrFormat("%.3f", last_queued.load()));
  One(page, "kubeproxy_sync_proxy_rules_service_changes_total", "counter", "Changes of Services",
      service_changes.load());
  One(page, "kubeproxy_sync_proxy_rules_endpoint_changes_total", "counter", "Changes of EndpointSlices",
      slice_changes.load());
  Print(page, "kubeproxy_sync_proxy_rules_no_local_endpoints_total", "gauge",
        "Services with policy Local that have endpoints, but none on this node");
  absl::StrAppend(&page, "kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy=\"internal\"} ",
                  no_local_internal.load(),
                  "\nkubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy=\"external\"} ",
                  no_local_external.load(), "\n");
  Print(page, "kubeproxy_proxy_healthz_total", "counter", "Answers of /healthz");
  absl::StrAppend(&page, "kubeproxy_proxy_healthz_total{code=\"200\"} ", healthz_ok.load(),
                  "\nkubeproxy_proxy_healthz_total{code=\"503\"} ", healthz_bad.load(), "\n");
  Print(page, "kubeproxy_proxy_livez_total", "counter", "Answers of /livez");
  absl::StrAppend(&page, "kubeproxy_proxy_livez_total{code=\"200\"} ", livez_ok.load(),
                  "\nkubeproxy_proxy_livez_total{code=\"503\"} ", livez_bad.load(), "\n");
  One(page, "sluice_kube_services", "gauge", "Services of the cluster", services.load());
  One(page, "sluice_kube_virtual_services", "gauge", "Virtual services in sluiced that are Kubernetes'",
      virtual_services.load());
  One(page, "sluice_kube_draining_services", "gauge", "Virtual services with real servers that drain",
      draining.load());
  One(page, "sluice_kube_failed_applies_total", "counter",
      "Requests that sluiced refused, or that did not reach it", failed_applies.load());
  One(page, "sluice_kube_left_out_total", "counter", "Virtual services that sluiced has refused",
      left_out.load());
  One(page, "sluice_kube_disbelieved_total", "counter",
      "Times the API server had no Services or no EndpointSlices at all, which was not believed",
      disbelieved.load());
  One(page, "sluice_kube_wrong_annotations", "gauge", "Annotations that are wrong, and ignored",
      wrong_annotations.load());
  One(page, "sluice_kube_address_conflicts", "gauge",
      "Addresses and ports of Services that another Service has", lost_claims.load());
  One(page, "sluice_kube_unserved_addresses", "gauge",
      "Addresses of Services that must not or cannot be served", unserved_addresses.load());
  One(page, "sluice_kube_api_lists_total", "counter", "Lists asked of the API server", lists.load());
  One(page, "sluice_kube_api_watches_total", "counter", "Watches begun", watches.load());
  One(page, "sluice_kube_api_events_total", "counter", "Events of watches", events.load());
  One(page, "sluice_kube_api_errors_total", "counter", "Lists and watches that failed", api_errors.load());
  One(page, "sluice_kube_api_refused_objects_total", "counter",
      "Objects left out because they break the rules of Kubernetes' API", refused_objects.load());
  return page;
}

}  // namespace sluice::kubernetes
