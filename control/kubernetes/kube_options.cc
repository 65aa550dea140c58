// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/kube_options.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "control/kubernetes/annotations.h"

namespace sluice::kubernetes {

const char kKubeUsage[] =
    R"(sluice-kube: the Services of a Kubernetes cluster, as this node's sluiced serves them

  sluice-kube [--kubeconfig FILE] [--config FILE] [options]

  --kubeconfig FILE         how to reach the API server; without it, what a pod finds in its files
  --master URL[,URL]        API servers, instead of the kubeconfig's
  --sluiced unix:PATH|ADDRESS:PORT  where sluiced listens (unix:/run/sluice/sluiced.sock)
  --config FILE             kube-proxy's own configuration file; flags win over it
  --node-name NAME          this node (kube-proxy's --hostname-override; else $NODE_NAME, else the host's name);
                            "-": a gateway that is no node: policy Local keeps the client's address, and uses every endpoint
  --local-policy strict|ipvs-compat  policy Local without an endpoint here: no answer, as the API has it; or as kube-proxy's
                            ipvs mode, any endpoint (strict)
  --masquerade-address ADDRESS  that full NAT gives to clients; repeatable. Without any, NAT is used in its place
  --external-ips yes|no     whether spec.externalIPs are served (yes)
  --service-cidr PREFIX[,PREFIX]  the API server's --service-cluster-ip-range: external IPs within it are not served
  --healthz-bind-address ADDRESS:PORT|none  /healthz, /livez (0.0.0.0:10256, as kube-proxy: load balancers ask it)
  --health-check-bind-address ADDRESS  where Services' health check node ports listen (all addresses)
  --metrics-bind-address ADDRESS:PORT|none  /metrics, /proxyMode (127.0.0.1:10249)

  And as kube-proxy has them: --ipvs-scheduler, --ipvs-exclude-cidrs, --ipvs-sync-period, --ipvs-min-sync-period,
  --ipvs-tcp-timeout, --ipvs-tcpfin-timeout, --ipvs-udp-timeout, --nodeport-addresses, --cluster-cidr, --masquerade-all,
  --hostname-override, --oom-score-adj, --proxy-mode. Others of its flags are accepted and ignored, and the log says so.
  --help, --version
)";

namespace {

absl::Status Wrong(absl::string_view name, absl::string_view value, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat(name, " ", value, ": must be ", rule));
}

// "30s", "1m30s", "0".
absl::StatusOr<absl::Duration> ParseTime(absl::string_view name, const std::string& value) {
  absl::Duration duration;
  if (!absl::ParseDuration(value, &duration) || duration < absl::ZeroDuration() ||
      duration > absl::Hours(24 * 31))
    return Wrong(name, value, "a duration, as 30s");
  return duration;
}

absl::Status SetPeriod(absl::string_view name, const std::string& value, std::chrono::milliseconds& period) {
  const auto duration = ParseTime(name, value);
  if (duration.ok()) period = absl::ToChronoMilliseconds(*duration);
  return duration.status();
}

absl::Status SetSeconds(absl::string_view name, const std::string& value,
                        const std::function<void(uint32_t)>& set) {
  const auto duration = ParseTime(name, value);
  if (duration.ok()) set(static_cast<uint32_t>(absl::ToInt64Seconds(*duration)));
  return duration.status();
}

absl::Status SetBoolean(absl::string_view name, const std::string& value, bool& target) {
  if (value != "true" && value != "false" && value != "yes" && value != "no")
    return Wrong(name, value, "true or false");
  target = value == "true" || value == "yes";
  return absl::OkStatus();
}

absl::Status SetPrefixes(absl::string_view name, const std::string& value, std::vector<Prefix>& prefixes) {
  std::vector<Prefix> all;
  for (const std::string& each :
       std::vector<std::string>(absl::StrSplit(value, ',', absl::SkipWhitespace()))) {
    const auto prefix = ParsePrefix(each);
    if (!prefix) return Wrong(name, each, "a prefix, as 10.0.0.0/8");
    all.push_back(*prefix);
  }
  prefixes = std::move(all);
  return absl::OkStatus();
}

absl::Status SetNodePorts(absl::string_view name, const std::string& value, KubeOptions& options) {
  options.node_port_primary = value == "primary";
  if (options.node_port_primary) return absl::OkStatus();
  return SetPrefixes(name, value, options.node_port_prefixes);
}

absl::Status SetScheduler(absl::string_view name, const std::string& value, KubeOptions& options) {
  if (!value.empty() && !IsScheduler(value)) return Wrong(name, value, "one of IPVS's schedulers");
  if (!value.empty()) options.scheduler = value;
  return absl::OkStatus();
}

// Which clients are pods of this node.
absl::Status SetDetectLocalMode(absl::string_view name, const std::string& value, KubeOptions& options) {
  options.has_node_cidr = value != "ClusterCIDR";
  if (value == "ClusterCIDR" || value == "NodeCIDR") return absl::OkStatus();
  if (value != "BridgeInterface" && value != "InterfaceNamePrefix")
    return Wrong(name, value, "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix");
  options.ignored.push_back(
      absl::StrCat(name, " ", value, ": pods of this node are told by its podCIDRs, as with NodeCIDR"));
  return absl::OkStatus();
}

absl::Status SetMode(absl::string_view name, const std::string& value, KubeOptions& options) {
  if (!value.empty() && value != "ipvs")
    options.ignored.push_back(absl::StrCat(name, " ", value, ": Sluice forwards as IPVS does"));
  return absl::OkStatus();
}

// One setting, by a flag's name and a field's.
struct Setting {
  const char* flag;   // without dashes; empty: it has none
  const char* field;  // "ipvs.scheduler"; empty: it has none
  std::function<absl::Status(absl::string_view name, const std::string& value, KubeOptions& options)> set;
};

template <class Member>
auto Text(Member KubeOptions::*member) {
  return [member](absl::string_view, const std::string& value, KubeOptions& options) {
    options.*member = value;
    return absl::OkStatus();
  };
}

const std::vector<Setting>& Settings() {
  static const std::vector<Setting> settings = {
      {"sluiced", "", Text(&KubeOptions::sluiced)},
      {"kubeconfig", "clientConnection.kubeconfig", Text(&KubeOptions::kubeconfig)},
      {"master", "",
       [](absl::string_view, const std::string& value, KubeOptions& options) {
         options.masters = absl::StrSplit(value, ',', absl::SkipWhitespace());
         return absl::OkStatus();
       }},
      {"node-name", "", Text(&KubeOptions::node_name)},
      {"hostname-override", "hostnameOverride", Text(&KubeOptions::node_name)},
      {"local-policy", "",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         if (value != "strict" && value != "ipvs-compat") return Wrong(name, value, "strict or ipvs-compat");
         options.is_local_policy_compatible = value == "ipvs-compat";
         return absl::OkStatus();
       }},
      {"masquerade-address", "",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         const auto address = ParseAddress(value);
         if (!address) return Wrong(name, value, "an address");
         options.masquerade_addresses.push_back(address->text);
         return absl::OkStatus();
       }},
      {"external-ips", "",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetBoolean(name, value, options.has_external_ips);
       }},
      {"service-cidr", "",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetPrefixes(name, value, options.service_ranges);
       }},
      {"healthz-bind-address", "healthzBindAddress", Text(&KubeOptions::healthz)},
      {"metrics-bind-address", "metricsBindAddress", Text(&KubeOptions::metrics)},
      {"health-check-bind-address", "",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         if (!ParseAddress(value)) return Wrong(name, value, "an address");
         options.health_check_address = value;
         return absl::OkStatus();
       }},
      {"proxy-mode", "mode", SetMode},
      {"ipvs-scheduler", "ipvs.scheduler", SetScheduler},
      {"ipvs-exclude-cidrs", "ipvs.excludeCIDRs",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetPrefixes(name, value, options.excluded);
       }},
      {"ipvs-sync-period", "ipvs.syncPeriod",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         const absl::Status set = SetPeriod(name, value, options.sync_period);
         if (options.sync_period.count() == 0) options.sync_period = std::chrono::seconds(30);
         return set;
       }},
      {"ipvs-min-sync-period", "ipvs.minSyncPeriod",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetPeriod(name, value, options.min_sync_period);
       }},
      {"ipvs-tcp-timeout", "ipvs.tcpTimeout",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetSeconds(name, value, [&](uint32_t seconds) { options.timeouts.set_tcp_seconds(seconds); });
       }},
      {"ipvs-tcpfin-timeout", "ipvs.tcpFinTimeout",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetSeconds(name, value,
                           [&](uint32_t seconds) { options.timeouts.set_tcp_fin_seconds(seconds); });
       }},
      {"ipvs-udp-timeout", "ipvs.udpTimeout",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetSeconds(name, value, [&](uint32_t seconds) { options.timeouts.set_udp_seconds(seconds); });
       }},
      {"ipvs-strict-arp", "ipvs.strictARP",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         if (value == "true")
           options.ignored.push_back(absl::StrCat(name, ": it is sluiced's: --strict-arp yes"));
         return absl::OkStatus();
       }},
      {"nodeport-addresses", "nodePortAddresses", SetNodePorts},
      {"cluster-cidr", "clusterCIDR",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetPrefixes(name, value, options.cluster_cidrs);
       }},
      {"detect-local-mode", "detectLocalMode", SetDetectLocalMode},
      {"masquerade-all", "iptables.masqueradeAll",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         return SetBoolean(name, value, options.masquerade_all);
       }},
      {"oom-score-adj", "oomScoreAdj",
       [](absl::string_view name, const std::string& value, KubeOptions& options) {
         if (!absl::SimpleAtoi(value, &options.oom_score_adj) || options.oom_score_adj < -1000 ||
             options.oom_score_adj > 1000)
           return Wrong(name, value, "-1000..1000");
         return absl::OkStatus();
       }},
  };
  return settings;
}

// Those that take no value of their own unless by "=".
const std::set<std::string>& Switches() {
  static const std::set<std::string> names = {"masquerade-all", "ipvs-strict-arp", "bind-address-hard-fail",
                                              "conntrack-tcp-be-liberal", "profiling"};
  return names;
}

// kube-proxy's, without a meaning here.
const std::set<std::string>& IgnoredFlags() {
  static const std::set<std::string> names = {"bind-address",
                                              "bind-address-hard-fail",
                                              "config-sync-period",
                                              "conntrack-max-per-core",
                                              "conntrack-min",
                                              "conntrack-tcp-be-liberal",
                                              "conntrack-tcp-timeout-close-wait",
                                              "conntrack-tcp-timeout-established",
                                              "conntrack-udp-timeout",
                                              "conntrack-udp-timeout-stream",
                                              "feature-gates",
                                              "healthz-port",
                                              "iptables-localhost-nodeports",
                                              "iptables-masquerade-bit",
                                              "iptables-min-sync-period",
                                              "iptables-sync-period",
                                              "kube-api-burst",
                                              "kube-api-content-type",
                                              "kube-api-qps",
                                              "log-flush-frequency",
                                              "logging-format",
                                              "metrics-port",
                                              "pod-bridge-interface",
                                              "pod-interface-name-prefix",
                                              "profiling",
                                              "proxy-port-range",
                                              "show-hidden-metrics-for-version",
                                              "v",
                                              "vmodule"};
  return names;
}

// A list as a flag would have it.
std::string AsText(const YAML::Node& node) {
  if (node.IsScalar()) return node.as<std::string>();
  std::string text;
  if (node.IsSequence()) {
    for (const YAML::Node& each : node)
      absl::StrAppend(&text, text.empty() ? "" : ",", each.as<std::string>());
  }
  return text;
}

absl::Status ReadFields(const YAML::Node& map, const std::string& prefix, KubeOptions& options) {
  for (const auto& each : map) {
    const std::string name = prefix + each.first.as<std::string>();
    if (name == "apiVersion" || name == "kind") continue;
    if (each.second.IsNull()) continue;
    const Setting* setting = nullptr;
    for (const Setting& known : Settings()) {
      if (known.field == name) setting = &known;
    }
    if (setting == nullptr && each.second.IsMap()) {
      if (const absl::Status read = ReadFields(each.second, name + ".", options); !read.ok()) return read;
    } else if (setting == nullptr) {
      options.ignored.push_back(absl::StrCat(name, ": has no meaning here"));
    } else if (const std::string value = AsText(each.second); !value.empty()) {
      if (const absl::Status set = setting->set(name, value, options); !set.ok()) return set;
    }
  }
  return absl::OkStatus();
}

std::string HostName() {
  if (const char* const given = std::getenv("NODE_NAME"); given != nullptr && *given != '\0') return given;
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

absl::Status ReadProxyConfiguration(const std::string& text, KubeOptions& options) {
  try {
    const YAML::Node config = YAML::Load(text);
    if (!config.IsMap()) return absl::InvalidArgumentError("it is no configuration of kube-proxy's");
    if (config["kind"] && config["kind"].as<std::string>() != "KubeProxyConfiguration")
      return absl::InvalidArgumentError(
          absl::StrCat("kind ", config["kind"].as<std::string>(), ": must be KubeProxyConfiguration"));
    return ReadFields(config, "", options);
  } catch (const YAML::Exception& fault) {
    return absl::InvalidArgumentError(fault.what());
  }
}

absl::StatusOr<KubeOptions> ParseKubeOptions(const std::vector<std::string>& arguments) {
  KubeOptions options;
  std::vector<std::pair<std::string, std::string>> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() < 3 || argument.compare(0, 2, "--") != 0)
      return absl::InvalidArgumentError(absl::StrCat(argument, ": is not an option; see sluice-kube --help"));
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (name == "help") return options.help = true, options;
    if (name == "version") return options.version = true, options;
    if (equals != std::string::npos) {
      given.emplace_back(name, argument.substr(equals + 1));
    } else if (Switches().contains(name)) {
      given.emplace_back(name, "true");
    } else if (i + 1 < arguments.size()) {
      given.emplace_back(name, arguments[++i]);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": needs a value; see sluice-kube --help"));
    }
  }
  for (const auto& [name, value] : given) {
    if (name != "config") continue;
    std::ifstream file(value);
    if (!file) return absl::NotFoundError(absl::StrCat("--config ", value, ": cannot be read"));
    const absl::Status read =
        ReadProxyConfiguration(std::string(std::istreambuf_iterator<char>(file), {}), options);
    if (!read.ok()) return absl::Status(read.code(), absl::StrCat("--config ", value, ": ", read.message()));
  }
  for (const auto& [name, value] : given) {
    if (name == "config") continue;
    const Setting* setting = nullptr;
    for (const Setting& known : Settings()) {
      if (known.flag == name) setting = &known;
    }
    if (setting == nullptr && !IgnoredFlags().contains(name))
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, ": is not an option; see sluice-kube --help"));
    if (setting == nullptr) {
      options.ignored.push_back(absl::StrCat("--", name, ": has no meaning here"));
    } else if (const absl::Status set = setting->set(absl::StrCat("--", name), value, options); !set.ok()) {
      return set;
    }
  }
  options.is_gateway = options.node_name == "-";
  if (options.is_gateway) options.node_name.clear();
  if (!options.is_gateway && options.node_name.empty()) options.node_name = HostName();
  options.node_name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(options.node_name));
  return options;
}

}  // namespace sluice::kubernetes
