// Many ports, one thread, and clients who mean no good.
// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <deque>
#include <filesystem>
#include <thread>

#include "tests/support/http_client.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kClosed[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

HttpLimits Patient() {
  HttpLimits limits;
  limits.deadlines = {.request = 1h, .answer = 1h, .idle = 1h, .farewell = 1h};
  return limits;
}

int ThreadCount() {
  const std::filesystem::directory_iterator threads("/proc/self/task");
  return static_cast<int>(std::distance(begin(threads), end(threads)));
}

class HttpServerTest : public testing::Test {
 protected:
  void Start(const HttpLimits& limits = HttpLimits()) {
    auto started = HttpServer::Start(limits);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    port_ = Listen("/", [] { return HttpServer::Page{.text = "hello\n"}; }).port;
  }
  HttpServer::Listener Listen(const std::string& path, std::function<HttpServer::Page()> page) {
    const auto listener = server_->Listen("127.0.0.1:0", {{path, std::move(page)}});
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener.value_or(HttpServer::Listener{0, 0});
  }
  HttpClient Connected(const char* from = "127.0.0.1") const {
    HttpClient client(from);
    EXPECT_TRUE(client.Connect(port_));
    return client;
  }
  uint64_t Metric(const std::string& name) const {
    const std::string page = server_->Metrics();
    const size_t found = page.find("\n" + name + " ");
    EXPECT_NE(found, std::string::npos) << name;
    return found == std::string::npos ? 0 : std::stoul(page.substr(found + name.size() + 2));
  }
  uint64_t Dropped(const std::string& reason) const {
    return Metric("sluice_http_dropped_connections_total{reason=\"" + reason + "\"}");
  }
  void WaitForConnections(uint64_t count) const {
    for (int i = 0; i < 3000 && Metric("sluice_http_connections") != count; ++i)
      std::this_thread::sleep_for(10ms);
    EXPECT_EQ(Metric("sluice_http_connections"), count);
  }

  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
};

TEST_F(HttpServerTest, AnswersAndKeepsAlive) {
  Start();
  HttpClient client = Connected();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send(kGet));
    const std::string answer = client.ReadAnswer();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: keep-alive\r\n"));
    EXPECT_THAT(answer, EndsWith("\r\n\r\nhello\n"));
  }
  ASSERT_TRUE(client.Send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  const std::string head = client.ReadAll();
  EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 6\r\n"));
  EXPECT_THAT(head, EndsWith("Connection: close\r\n\r\n"));
  EXPECT_THAT(HttpClient::Get(port_, "/x"), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(Metric("sluice_http_answers_total{code=\"200\"}"), 4u);
  EXPECT_EQ(Metric("sluice_http_answers_total{code=\"404\"}"), 1u);
  EXPECT_EQ(Metric("sluice_http_connections_total"), 2u);
}

TEST_F(HttpServerTest, ByteByByte) {
  Start();
  HttpClient client = Connected();
  for (const char byte : std::string(kClosed)) ASSERT_TRUE(client.Send(std::string(1, byte)));
  EXPECT_THAT(client.ReadAll(), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, Pipelined) {
  Start();
  HttpClient client = Connected();
  std::string many;
  for (int i = 0; i < 500; ++i) many += kGet;
  ASSERT_TRUE(client.Send(many + kClosed));
  const std::string answers = client.ReadAll();
  size_t count = 0;
  for (size_t at = 0; (at = answers.find("\r\n\r\nhello\n", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 501u);
}

TEST_F(HttpServerTest, WrongRequestsGetAnAnswerAndTheEnd) {
  Start();
  const std::pair<std::string, const char*> cases[] = {
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n" + std::string(9, 'x'), "HTTP/1.1 405 "},
      {"\x16\x03\x01\x02\x05 garbage", "HTTP/1.1 400 "},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100'000, 'x'), "HTTP/1.1 431 "},
      {"GET / HTTP/9.1\r\n\r\n", "HTTP/1.1 505 "}};
  for (const auto& [bytes, begin] : cases) {
    HttpClient client = Connected();
    ASSERT_TRUE(client.Send(bytes));
    const std::string answer = client.ReadAll();
    EXPECT_THAT(answer, StartsWith(begin));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
  }
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, SilentClientsHoldUpNobody) {
  Start(Patient());
  std::deque<HttpClient> silent;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(silent.emplace_back(Connected()).Send(i % 2 == 0 ? "GET / HT" : "G"));
  }
  WaitForConnections(100);
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, ReadersWhoDoNotReadHoldUpNobody) {
  Start(Patient());
  const std::string large(16 << 20, 'x');
  const uint16_t port = Listen("/", [&] { return HttpServer::Page{.text = large}; }).port;
  std::deque<HttpClient> lazy;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(lazy.emplace_back().Connect(port));
    ASSERT_TRUE(lazy.back().Send(kGet));
  }
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
  HttpClient quick;
  ASSERT_TRUE(quick.Connect(port) && quick.Send(kClosed));
  EXPECT_THAT(quick.ReadAll(), EndsWith(std::string(1000, 'x')));
  // 64 MB of pages at most wait for their readers: four of them.
  EXPECT_GE(Dropped("too_many_bytes"), 8u);
}

TEST_F(HttpServerTest, Deadlines) {
  HttpLimits limits;
  limits.deadlines = {.request = 200ms, .answer = 200ms, .idle = 200ms, .farewell = 200ms};
  Start(limits);
  HttpClient silent = Connected(), half = Connected(), idle = Connected(), farewell = Connected();
  ASSERT_TRUE(half.Send("GET /"));
  ASSERT_TRUE(idle.Send(kGet));
  ASSERT_TRUE(farewell.Send(kClosed));
  EXPECT_TRUE(silent.IsOver());
  EXPECT_TRUE(half.IsOver());
  EXPECT_THAT(idle.ReadAnswer(), EndsWith("hello\n"));
  EXPECT_TRUE(idle.IsOver());
  WaitForConnections(0);
  EXPECT_EQ(Dropped("too_slow"), 2u) << "an idle client is no slow one";
}

TEST_F(HttpServerTest, FullOfSilentClientsItGivesUpTheOldestOfThem) {
  HttpLimits limits = Patient();
  limits.connections = 8;
  Start(limits);
  std::deque<HttpClient> silent;
  for (int i = 0; i < 8; ++i) silent.emplace_back(Connected());
  WaitForConnections(8);
  HttpClient client = Connected();
  ASSERT_TRUE(client.Send(kGet));
  EXPECT_THAT(client.ReadAnswer(), EndsWith("hello\n"));
  EXPECT_TRUE(silent.front().IsOver());
  EXPECT_EQ(Dropped("too_many"), 1u);
  // Between requests it is worth less than who has not asked yet.
  HttpClient another = Connected();
  EXPECT_TRUE(client.IsOver());
}

TEST_F(HttpServerTest, OneClientCannotTakeTheShareOfOthers) {
  HttpLimits limits = Patient();
  limits.connections_of_client = 4;
  Start(limits);
  HttpClient other = Connected("127.0.0.2");
  WaitForConnections(1);
  std::deque<HttpClient> greedy;
  for (int i = 0; i < 50; ++i) greedy.emplace_back(Connected());
  for (int i = 0; i < 46; ++i) EXPECT_TRUE(greedy[static_cast<size_t>(i)].IsOver());
  EXPECT_EQ(Dropped("too_many_of_client"), 46u);
  ASSERT_TRUE(other.Send(kGet));
  EXPECT_THAT(other.ReadAnswer(), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, AThousandPortsAndOneThread) {
  Start();
  const int threads = ThreadCount();
  std::vector<HttpServer::Listener> listeners;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit more{limit.rlim_max, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &more);
  const int count = limit.rlim_max > 3000 ? 1000 : 200;
  for (int i = 0; i < count; ++i) {
    listeners.push_back(
        Listen("*", [i] { return HttpServer::Page{.text = "port " + std::to_string(i) + "\n"}; }));
  }
  EXPECT_EQ(ThreadCount(), threads);
  for (int i = 0; i < count; i += 50)
    EXPECT_THAT(HttpClient::Get(listeners[static_cast<size_t>(i)].port, "/any"),
                EndsWith("\r\nport " + std::to_string(i) + "\n"));
  for (int i = 0; i + 1 < count; ++i) server_->Close(listeners[static_cast<size_t>(i)]);
  EXPECT_THAT(HttpClient::Get(listeners.front().port), IsEmpty());
  EXPECT_THAT(HttpClient::Get(listeners.back().port), EndsWith("\n"));
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(HttpServerTest, AClosedPortEndsItsConnections) {
  Start();
  const HttpServer::Listener listener = Listen("/", [] { return HttpServer::Page{}; });
  HttpClient client;
  ASSERT_TRUE(client.Connect(listener.port) && client.Send(kGet));
  EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 200"));
  server_->Close(listener);
  EXPECT_TRUE(client.IsOver());
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, APortIsFreeAtOnceAfterStop) {
  Start();
  HttpClient client = Connected();
  ASSERT_TRUE(client.Send(kGet));
  EXPECT_THAT(client.ReadAnswer(), EndsWith("hello\n"));
  server_->Stop();
  const auto successor = HttpServer::Start();
  ASSERT_TRUE(successor.ok());
  EXPECT_TRUE((*successor)->Listen("127.0.0.1:" + std::to_string(port_), {}).ok());
  EXPECT_FALSE(server_->Listen("127.0.0.1:0", {}).ok());
}

TEST_F(HttpServerTest, WhereItCannotListen) {
  Start();
  const auto error = [&](const std::string& where) {
    return std::string(server_->Listen(where, {}).status().message());
  };
  const std::string taken = "127.0.0.1:" + std::to_string(port_);
  EXPECT_EQ(error(taken), taken + ": cannot listen there (Address already in use)");
  for (const char* wrong : {"", "x", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80",
                            "[127.0.0.1]:80", "localhost:80", "127.0.0.1:http", "[::1]", "+", "127.0.0.1:"})
    EXPECT_THAT(error(wrong), EndsWith(": must be ADDRESS:PORT, as 127.0.0.1:9909 or [::1]:9909")) << wrong;
  EXPECT_EQ(error("+0"), "") << "of both families";
}

TEST_F(HttpServerTest, ACostlyPageIsShared) {
  Start();
  std::atomic<int> made{0};
  const uint16_t port = Listen("/", [&] {
                          std::this_thread::sleep_for(500ms);
                          return HttpServer::Page{.text = std::to_string(++made)};
                        }).port;
  std::deque<HttpClient> clients;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(clients.emplace_back().Connect(port));
    ASSERT_TRUE(clients.back().Send(kClosed));
  }
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
  for (HttpClient& client : clients) EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(made.load(), 100) << "each would take a hundred seconds";
}

TEST_F(HttpServerTest, WhenDescriptorsRunOutTheReserveServes) {
  Start(Patient());
  std::vector<HttpClient> clients(12);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit low{256, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  std::vector<int> filling;
  for (int fd = dup(0); fd >= 0; fd = dup(0)) filling.push_back(fd);
  EXPECT_EQ(errno, EMFILE);
  for (HttpClient& client : clients) {
    ASSERT_TRUE(client.Connect(port_));
    ASSERT_TRUE(client.Send(kGet));
    EXPECT_THAT(client.ReadAnswer(), EndsWith("hello\n"));
  }
  EXPECT_EQ(Dropped("no_descriptors"), 4u) << "eight are in reserve; then the oldest idle ones end";
  EXPECT_TRUE(clients.front().IsOver());
  for (const int fd : filling) close(fd);
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, WithoutDescriptorsOrReserveClientsWait) {
  HttpLimits limits;
  limits.reserve = 0;
  Start(limits);
  HttpClient client;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit low{256, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  std::vector<int> filling;
  for (int fd = dup(0); fd >= 0; fd = dup(0)) filling.push_back(fd);
  ASSERT_TRUE(client.Connect(port_) && client.Send(kClosed));
  for (int i = 0; i < 3000 && Dropped("no_descriptors") == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GT(Dropped("no_descriptors"), 0u);
  for (const int fd : filling) close(fd);
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_THAT(client.ReadAll(), EndsWith("hello\n"));
}

TEST_F(HttpServerTest, PortsComeAndGoWhileClientsAsk) {
  Start();
  std::atomic<bool> stop{false};
  std::atomic<uint16_t> current{port_};
  std::thread asking([&] {
    while (!stop.load()) HttpClient::Get(current.load());
  });
  for (int i = 0; i < 500; ++i) {
    auto value = std::make_unique<int>(i);
    const HttpServer::Listener listener =
        Listen("*", [seen = value.get()] { return HttpServer::Page{.text = std::to_string(*seen)}; });
    current.store(listener.port);
    server_->Close(listener);  // and nobody looks at the value any more
  }
  stop.store(true);
  asking.join();
  EXPECT_THAT(HttpClient::Get(port_), EndsWith("hello\n"));
}

}  // namespace
}  // namespace sluice
