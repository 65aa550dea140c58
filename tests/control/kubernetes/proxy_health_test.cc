// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/proxy_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(ProxyHealthTest, OnlyWhatWaitsTooLongIsIll) {
  ProxyHealth health(10s);
  const ProxyHealth::Clock::time_point begin = ProxyHealth::Clock::now();
  EXPECT_TRUE(health.IsHealthy(begin + 25s)) << "nothing waits";
  health.Wait(begin + 25s);
  EXPECT_TRUE(health.IsHealthy(begin + 35s));
  health.Wait(begin + 34s);
  EXPECT_FALSE(health.IsHealthy(begin + 36s)) << "the first has waited for eleven seconds";
  health.Done();
  EXPECT_TRUE(health.IsHealthy(begin + 99s));
  health.Wait(begin + 99s);
  EXPECT_TRUE(health.IsHealthy(begin + 105s));
}

TEST(ProxyHealthTest, APage) {
  EXPECT_EQ(ProxyHealth::Page(true, true).status, 200);
  EXPECT_EQ(ProxyHealth::Page(false, true).status, 503);
  const HttpServer::Page going = ProxyHealth::Page(true, false);
  EXPECT_EQ(going.status, 503);
  EXPECT_THAT(going.text, HasSubstr("\"nodeEligible\":false,\"healthy\":true}"));
  const HttpServer::Page live = ProxyHealth::Page(true, std::nullopt);
  EXPECT_EQ(live.status, 200);
  EXPECT_THAT(live.text, Not(HasSubstr("nodeEligible")));
}

}  // namespace
}  // namespace sluice::kubernetes
