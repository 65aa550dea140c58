// What load balancers are told of a Service's endpoints on this node.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/health_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/http_client.h"

namespace sluice::kubernetes {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class HealthChecksTest : public testing::Test {
 protected:
  void Set(uint32_t endpoints) { checks_.Set({{{"a", "b"}, {port_, endpoints, "7-8"}}}); }
  std::string Get() const { return HttpClient::Get(static_cast<uint16_t>(port_), "/any/path"); }
  // That nobody has now.
  uint32_t FreePort() const {
    const auto listener = server_->Listen("127.0.0.1:0", {});
    server_->Close(*listener);
    return listener->port;
  }

  const std::unique_ptr<HttpServer> server_ = *HttpServer::Start();
  const uint32_t port_ = FreePort();
  std::atomic<bool> is_healthy_{true};  // a server's thread asks
  std::vector<std::string> complaints_;
  HealthChecks checks_{*server_, "127.0.0.1", [this] { return is_healthy_.load(); },
                       [this](const ObjectName& name, const std::string& uid, const std::string& what) {
                         complaints_.push_back(name.ToString() + " " + uid + ": " + what);
                       }};
};

TEST_F(HealthChecksTest, HowManyEndpointsThereAre) {
  Set(0);
  EXPECT_THAT(Get(), StartsWith("HTTP/1.1 503"));
  Set(18);
  const std::string answer = Get();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("X-Load-Balancing-Endpoint-Weight: 18\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer,
              testing::EndsWith("{\n\t\"service\": {\n\t\t\"namespace\": \"a\",\n\t\t\"name\": \"b\"\n\t},\n"
                                "\t\"localEndpoints\": 18,\n\t\"serviceProxyHealthy\": true\n}"));
  Set(0);
  EXPECT_THAT(Get(), StartsWith("HTTP/1.1 503"));
  Set(11);
  EXPECT_THAT(Get(), StartsWith("HTTP/1.1 200"));
  checks_.Set({});
  EXPECT_THAT(Get(), IsEmpty()) << "nobody listens";
}

TEST_F(HealthChecksTest, AProxyThatIsIll) {
  Set(7);
  is_healthy_ = false;
  const std::string answer = Get();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("\"localEndpoints\": 7,\n\t\"serviceProxyHealthy\": false"));
}

TEST_F(HealthChecksTest, APortThatSomebodyHasIsTriedAgain) {
  const auto other = server_->Listen("127.0.0.1:0", {});
  for (int i = 0; i < 2; ++i) checks_.Set({{{"a", "b"}, {other->port, 1, "7-8"}}});
  ASSERT_EQ(complaints_.size(), 1u) << "of each trouble once";
  EXPECT_THAT(complaints_[0], StartsWith("a/b 7-8: health check port " + std::to_string(other->port) + ": "));
  server_->Close(*other);
  checks_.Set({{{"a", "b"}, {other->port, 1, "7-8"}}});
  EXPECT_THAT(HttpClient::Get(other->port), StartsWith("HTTP/1.1 200"));
}

TEST_F(HealthChecksTest, APortThatMoves) {
  Set(1);
  const uint32_t next = FreePort();
  checks_.Set({{{"a", "b"}, {next, 1, "7-8"}}});
  EXPECT_THAT(Get(), IsEmpty());
  EXPECT_THAT(HttpClient::Get(static_cast<uint16_t>(next)), StartsWith("HTTP/1.1 200"));
}

// Beside 60 connections that are half open, which once held up each other and the removal.
TEST_F(HealthChecksTest, ManyPortsGoAtOnceThoughClientsAreSilent) {
  std::map<ObjectName, LocalHealth> services;
  std::vector<HttpServer::Listener> holders;
  for (int i = 0; i < 200; ++i) {
    holders.push_back(*server_->Listen("127.0.0.1:0", {}));
    services[{"a", std::to_string(i)}] = {holders.back().port, 1, "7-8"};
  }
  for (const HttpServer::Listener& each : holders) server_->Close(each);
  checks_.Set(services);
  EXPECT_THAT(complaints_, IsEmpty());
  const uint16_t port = static_cast<uint16_t>(services.begin()->second.port);
  std::vector<HttpClient> silent(60);
  for (HttpClient& client : silent) ASSERT_TRUE(client.Connect(port) && client.Send("GET"));
  EXPECT_THAT(HttpClient::Get(port), StartsWith("HTTP/1.1 200"));
  const auto begin = std::chrono::steady_clock::now();
  checks_.Set({});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << "once 1.4 s for each";
  EXPECT_THAT(HttpClient::Get(port), IsEmpty());
  for (HttpClient& client : silent) EXPECT_TRUE(client.IsOver());
}

}  // namespace
}  // namespace sluice::kubernetes
