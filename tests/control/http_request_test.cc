// Requests as strangers may write them.
// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

HttpRequest Whole(const std::string& bytes) {
  const std::optional<HttpRequest> request = ReadHttpRequest(bytes);
  EXPECT_TRUE(request) << bytes;
  return request.value_or(HttpRequest());
}
int Refusal(const std::string& bytes) { return Whole(bytes).refusal; }

TEST(HttpRequestTest, AsClientsWriteThem) {
  const std::string text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
  const HttpRequest request = Whole(text + "GET /next");
  EXPECT_EQ(request.refusal, 0);
  EXPECT_EQ(request.path, "/metrics");
  EXPECT_FALSE(request.is_head);
  EXPECT_TRUE(request.keeps_alive);
  EXPECT_EQ(request.size, text.size()) << "what follows is the next request";
  EXPECT_TRUE(Whole("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").is_head);
  EXPECT_EQ(Whole("\r\nGET / HTTP/1.0\r\n\r\n").refusal, 0) << "an empty line may come first";
  EXPECT_EQ(Whole("GET http://10.0.0.1:80/healthz HTTP/1.1\r\nHost: a\r\n\r\n").path, "/healthz");
  EXPECT_EQ(Whole("GET http://10.0.0.1 HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 0);
}

TEST(HttpRequestTest, WhoMaySendAnother) {
  EXPECT_FALSE(Whole("GET / HTTP/1.0\r\n\r\n").keeps_alive);
  EXPECT_TRUE(Whole("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n").keeps_alive);
  EXPECT_FALSE(Whole("GET / HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n").keeps_alive);
  EXPECT_FALSE(Whole("POST / HTTP/1.1\r\nHost: a\r\n\r\n").keeps_alive) << "after a refusal it is over";
}

TEST(HttpRequestTest, EveryByteCounts) {
  const std::string text = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(ReadHttpRequest(absl::string_view(text).substr(0, size))) << size;
  EXPECT_TRUE(ReadHttpRequest(text));
}

TEST(HttpRequestTest, Refusals) {
  EXPECT_EQ(Refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), 405);
  EXPECT_EQ(Refusal("get / HTTP/1.1\r\nHost: a\r\n\r\n"), 405) << "methods have a case";
  EXPECT_EQ(Refusal("GET / HTTP/2.0\r\n\r\n"), 505);
  for (const char* wrong :
       {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / FTP/1.1\r\n\r\n",
        "GET /\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", " GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n\r\n"})
    EXPECT_EQ(Refusal(wrong), 400) << wrong;
}

TEST(HttpRequestTest, GarbageIsRefusedAtOnce) {
  EXPECT_EQ(Refusal("\x16\x03\x01\x02"), 400) << "TLS";
  EXPECT_EQ(Refusal("GET / HTTP/1.1\n"), 400) << "a line ends with both";
  EXPECT_EQ(Refusal("GET / HTTP/1.1\rX"), 400);
  EXPECT_EQ(Refusal(std::string("GET /\0", 6)), 400);
}

TEST(HttpRequestTest, ALimitOfSize) {
  const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto sized = [&](size_t size) {
    return begin + std::string(size - begin.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(Refusal(sized(kLongestHttpRequest)), 0);
  EXPECT_EQ(Refusal(sized(kLongestHttpRequest + 1)), 431);
  EXPECT_FALSE(ReadHttpRequest(std::string(kLongestHttpRequest - 1, 'x')));
  EXPECT_EQ(Refusal(std::string(kLongestHttpRequest, 'x')), 431);
}

TEST(HttpRequestTest, BentRequests) {
  std::mt19937 random(7);
  const std::string text =
      "GET /metrics HTTP/1.1\r\nHost: a:1\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
  for (int i = 0; i < 20'000; ++i) {
    std::string bent = text;
    for (uint32_t change = random() % 4; change > 0 && !bent.empty(); --change) {
      const size_t place = random() % bent.size();
      switch (random() % 3) {
        case 0: bent[place] = static_cast<char>(random()); break;
        case 1: bent.erase(place, random() % 8); break;
        default: bent.insert(place, bent.substr(random() % bent.size(), random() % 8));
      }
    }
    const std::optional<HttpRequest> request = ReadHttpRequest(bent);
    if (!request) continue;
    ASSERT_LE(request->size, bent.size()) << bent;
    ASSERT_GT(request->size, 0u) << bent;
    if (request->refusal != 0) continue;
    ASSERT_FALSE(request->path.empty()) << bent;
    // Nothing depends on what comes later.
    ASSERT_EQ(Whole(bent.substr(0, request->size)).path, request->path) << bent;
  }
}

}  // namespace
}  // namespace sluice
