// sluice-kube's options, kube-proxy's flags, and its configuration file.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/kube_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(KubeOptionsTest, KubeProxysFlags) {
  const auto options = ParseKubeOptions(
      {"--proxy-mode=ipvs", "--ipvs-scheduler=wlc", "--ipvs-tcp-timeout=15m", "--ipvs-udp-timeout=300s",
       "--ipvs-exclude-cidrs=10.9.0.0/16,fd09::/64", "--masquerade-all", "--nodeport-addresses",
       "192.168.2.0/24", "--v=2", "--hostname-override", "Node-A", "--ipvs-min-sync-period=1s",
       "--cluster-cidr=10.1.0.0/16", "--oom-score-adj=-998"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->scheduler, "wlc");
  EXPECT_EQ(options->timeouts.tcp_seconds(), 900u);
  EXPECT_EQ(options->timeouts.udp_seconds(), 300u);
  EXPECT_EQ(options->excluded.size(), 2u);
  EXPECT_TRUE(options->masquerade_all);
  EXPECT_EQ(options->cluster_cidrs.at(0).ToString(), "10.1.0.0/16");
  ASSERT_EQ(options->node_port_prefixes.size(), 1u);
  EXPECT_EQ(options->node_port_prefixes[0].ToString(), "192.168.2.0/24");
  EXPECT_EQ(options->node_name, "node-a");
  EXPECT_EQ(options->min_sync_period.count(), 1000);
  EXPECT_EQ(options->oom_score_adj, -998);
  EXPECT_THAT(options->ignored, Contains(HasSubstr("--v:")));
}

TEST(KubeOptionsTest, Mistakes) {
  const auto error = [](const std::vector<std::string>& arguments) {
    return std::string(ParseKubeOptions(arguments).status().message());
  };
  EXPECT_EQ(error({"--ipvs-scheduler=best"}), "--ipvs-scheduler best: must be one of IPVS's schedulers");
  EXPECT_EQ(error({"--ipvs-sync-period", "soon"}), "--ipvs-sync-period soon: must be a duration, as 30s");
  EXPECT_EQ(error({"--ipvs-exclude-cidrs=10.0.0.0/33"}),
            "--ipvs-exclude-cidrs 10.0.0.0/33: must be a prefix, as 10.0.0.0/8");
  EXPECT_EQ(error({"--local-policy=lax"}), "--local-policy lax: must be strict or ipvs-compat");
  EXPECT_EQ(error({"--kubeconfg", "f"}), "--kubeconfg: is not an option; see sluice-kube --help");
  EXPECT_EQ(error({"--master"}), "--master: needs a value; see sluice-kube --help");
  EXPECT_EQ(error({"--health-check-bind-address=here"}),
            "--health-check-bind-address here: must be an address");
  EXPECT_EQ(error({"node"}), "node: is not an option; see sluice-kube --help");
  EXPECT_EQ(error({"--config=/nonexistent"}), "--config /nonexistent: cannot be read");
}

TEST(KubeOptionsTest, KubeProxysConfigurationAsKubeadmWritesIt) {
  KubeOptions options;
  const absl::Status read = ReadProxyConfiguration(R"(
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  acceptContentTypes: ""
  burst: 0
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
clusterCIDR: 10.244.0.0/16
conntrack:
  maxPerCore: null
hostnameOverride: ""
iptables:
  masqueradeAll: true
  masqueradeBit: null
ipvs:
  excludeCIDRs: ["10.9.0.0/16"]
  minSyncPeriod: 0s
  scheduler: "sed"
  strictARP: true
  syncPeriod: 10s
  tcpTimeout: 2h
kind: KubeProxyConfiguration
metricsBindAddress: ""
mode: "ipvs"
nodePortAddresses: null
oomScoreAdj: -997
)",
                                                   options);
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(options.kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf");
  EXPECT_EQ(options.cluster_cidrs.at(0).ToString(), "10.244.0.0/16");
  EXPECT_FALSE(options.has_node_cidr);
  EXPECT_TRUE(options.masquerade_all);
  EXPECT_EQ(options.scheduler, "sed");
  EXPECT_EQ(options.excluded.size(), 1u);
  EXPECT_EQ(options.sync_period.count(), 10'000);
  EXPECT_EQ(options.timeouts.tcp_seconds(), 7200u);
  EXPECT_EQ(options.metrics, "127.0.0.1:10249") << "empty is as if absent";
  ASSERT_TRUE(ReadProxyConfiguration("detectLocalMode: NodeCIDR", options).ok());
  EXPECT_TRUE(options.has_node_cidr);
  EXPECT_THAT(ReadProxyConfiguration("detectLocalMode: Guess", options).ToString(),
              HasSubstr("detectLocalMode Guess: must be ClusterCIDR, NodeCIDR"));
  EXPECT_EQ(options.oom_score_adj, -997);
  EXPECT_THAT(options.ignored, Contains(HasSubstr("strictARP")));
  EXPECT_THAT(options.ignored, Contains("bindAddress: has no meaning here"));
}

TEST(KubeOptionsTest, TheEksAddOnsJson) {
  KubeOptions options;
  ASSERT_TRUE(ReadProxyConfiguration(R"({"ipvs": {"scheduler": "lc"}, "mode": "ipvs"})", options).ok());
  EXPECT_EQ(options.scheduler, "lc");
  EXPECT_THAT(options.ignored, IsEmpty());
}

TEST(KubeOptionsTest, MistakesInTheFile) {
  const auto error = [](const std::string& text) {
    KubeOptions options;
    return std::string(ReadProxyConfiguration(text, options).message());
  };
  EXPECT_EQ(error("kind: Deployment"), "kind Deployment: must be KubeProxyConfiguration");
  EXPECT_EQ(error("ipvs: {scheduler: best}"), "ipvs.scheduler best: must be one of IPVS's schedulers");
  EXPECT_EQ(error("[]"), "it is no configuration of kube-proxy's");
  EXPECT_THAT(error("a: [b"), HasSubstr("line 1"));
}

}  // namespace
}  // namespace sluice::kubernetes
