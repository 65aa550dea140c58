// What load balancers are told of a Service's endpoints on this node.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/health_checks.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

namespace sluice::kubernetes {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A socket on the loopback, bound to a port that nobody has.
class Loopback {
 public:
  Loopback() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  ~Loopback() { close(fd_); }
  uint32_t FreePort() {
    socklen_t size = sizeof address_;
    bind(fd_, reinterpret_cast<const sockaddr*>(&address_), size);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &size);
    return ntohs(address_.sin_port);
  }
  // The whole answer; nothing if nobody listens.
  std::string Get(uint32_t port) {
    address_.sin_port = htons(static_cast<uint16_t>(port));
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0) return "";
    const std::string request = "GET /any/path HTTP/1.0\r\n\r\n";
    EXPECT_EQ(send(fd_, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    std::string answer;
    char bytes[4096];
    for (ssize_t got = 0; (got = recv(fd_, bytes, sizeof bytes, 0)) > 0;)
      answer.append(bytes, static_cast<size_t>(got));
    return answer;
  }

 private:
  const int fd_;
  sockaddr_in address_{};
};

class HealthChecksTest : public testing::Test {
 protected:
  void Set(uint32_t endpoints) { checks_.Set({{{"a", "b"}, {port_, endpoints, "7-8"}}}); }
  std::string Get() const { return Loopback().Get(port_); }

  const uint32_t port_ = Loopback().FreePort();
  std::atomic<bool> is_healthy_{true};  // a server's thread asks
  std::vector<std::string> complaints_;
  HealthChecks checks_{[this] { return is_healthy_.load(); },
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
  {
    Loopback other;
    const uint32_t taken = other.FreePort();
    for (int i = 0; i < 2; ++i) checks_.Set({{{"a", "b"}, {taken, 1, "7-8"}}});
    EXPECT_THAT(Loopback().Get(taken), IsEmpty());
    ASSERT_EQ(complaints_.size(), 1u) << "of each trouble once";
    EXPECT_THAT(complaints_[0], StartsWith("a/b 7-8: health check port " + std::to_string(taken) + ": "));
  }
  Set(1);
  EXPECT_THAT(Get(), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace sluice::kubernetes
