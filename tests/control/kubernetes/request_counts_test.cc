// What Prometheus is told of requests to the API server.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/request_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

TEST(RequestCountsTest, ByCodeHostAndMethod) {
  RequestCounts counts;
  counts.Add("GET", "https://10.0.0.1:6443", 200);
  counts.Add("GET", "https://10.0.0.1:6443/k8s/clusters/c-1", 200);
  counts.Add("POST", "https://[2001:db8::1]", 0);
  std::string page;
  counts.Print(page);
  EXPECT_THAT(page,
              testing::EndsWith(
                  "# TYPE rest_client_requests_total counter\n"
                  "rest_client_requests_total{code=\"200\",host=\"10.0.0.1:6443\",method=\"GET\"} 2\n"
                  "rest_client_requests_total{code=\"<error>\",host=\"[2001:db8::1]\",method=\"POST\"} 1\n"));
}

}  // namespace
}  // namespace sluice::kubernetes
