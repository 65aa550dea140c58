// Figures as Prometheus reads them.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/kube_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::HasSubstr;

TEST(KubeMetricsTest, ASumGoesOnGrowing) {
  KubeMetrics metrics;
  metrics.sync_duration.Observe(1'234'567);
  metrics.sync_duration.Observe(0.25);
  EXPECT_THAT(metrics.Page(), HasSubstr("kubeproxy_sync_proxy_rules_duration_seconds_sum 1234567.25\n"));
  EXPECT_THAT(metrics.Page(), HasSubstr("_bucket{le=\"0.001\"} 0\n"));
}

TEST(KubeMetricsTest, CountersAreExactAndHaveTheirSuffix) {
  KubeMetrics metrics;
  metrics.left_out.store(12'345'678'901);
  EXPECT_THAT(metrics.Page(), HasSubstr("# TYPE sluice_kube_left_out_total counter\n"
                                        "sluice_kube_left_out_total 12345678901\n"));
}

}  // namespace
}  // namespace sluice::kubernetes
