// sluice-kube's options: its own, kube-proxy's flags, and kube-proxy's configuration file.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/kubernetes/addresses.h"
#include "sluice/v1/config.pb.h"

namespace sluice::kubernetes {

struct KubeOptions {
  std::string sluiced;               // empty: where sluiced listens by default
  std::string kubeconfig;            // empty: what a pod has
  std::vector<std::string> masters;  // API servers; empty: the kubeconfig's
  std::string node_name;             // "-": none, a gateway
  bool is_gateway = false;
  std::string scheduler = "rr";
  std::vector<Prefix> excluded;
  std::vector<Prefix> node_port_prefixes;
  bool node_port_primary = false;
  std::vector<std::string> masquerade_addresses;
  bool masquerade_all = false;
  std::vector<Prefix> cluster_cidrs;
  bool has_node_cidr = false;  // pods of this node are those of its podCIDRs
  bool is_local_policy_compatible = false;
  bool has_external_ips = true;
  std::vector<Prefix> service_ranges;  // of the cluster's addresses for Services
  v1::Timeouts timeouts;
  std::chrono::milliseconds sync_period{30'000};
  std::chrono::milliseconds min_sync_period{0};
  std::string healthz = "0.0.0.0:10256";
  std::string metrics = "127.0.0.1:10249";
  std::string health_check_address;  // of Services' health check ports; empty: all of both families
  int oom_score_adj = -999;
  bool help = false;
  bool version = false;
  // What was given and is ignored, in words, for the log.
  std::vector<std::string> ignored;
};

extern const char kKubeUsage[];

// Flags win over the file that --config names. An error names the option or field, the value and the rule.
absl::StatusOr<KubeOptions> ParseKubeOptions(const std::vector<std::string>& arguments);

// KubeProxyConfiguration as YAML or JSON; also the EKS add-on's, which is the inner part without kind.
absl::Status ReadProxyConfiguration(const std::string& text, KubeOptions& options);

}  // namespace sluice::kubernetes
