// Requests to an API server that is slow, silent, talkative, or somebody else.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripted_api.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class ApiClientTest : public testing::Test {
 protected:
  // What it answers to a request for `limits`; `receive` gets the body.
  ApiClient::Answer Ask(ScriptedApi::Script script, const Limits& limits,
                        const ApiClient::Receive& receive = nullptr) {
    const ScriptedApi api(std::move(script));
    ApiAccess access;
    access.servers = {api.url()};
    return ApiClient(access).Get("/path", limits, receive);
  }
};

TEST_F(ApiClientTest, ASlowAnswerIsWaitedForAsLongAsItMoves) {
  size_t got = 0;
  const ApiClient::Answer answer = Ask(
      [](const std::string&, ScriptedApi::Answer& to) {
        to.Begin();
        for (int i = 0; i < 6; ++i) to.Write("x"), to.Hold(500ms);
      },
      {2s, 60s}, [&](std::string_view bytes) { return got += bytes.size(), true; });
  EXPECT_TRUE(answer.ok()) << answer.error;
  EXPECT_EQ(got, 6u);
}

TEST_F(ApiClientTest, Silence) {
  for (const bool begins : {false, true}) {
    const ApiClient::Answer answer = Ask(
        [&](const std::string&, ScriptedApi::Answer& to) {
          if (begins) to.Begin();
          to.Hold();
        },
        {1s, 60s}, [](std::string_view) { return true; });
    EXPECT_TRUE(answer.is_silent);
    EXPECT_EQ(answer.code, begins ? 200 : 0);
    EXPECT_THAT(answer.error, HasSubstr("silent for 1 s"));
  }
}

TEST_F(ApiClientTest, AnAnswerThatDripsForEver) {
  const ApiClient::Answer answer = Ask(
      [](const std::string&, ScriptedApi::Answer& to) {
        to.Begin();
        while (to.Write("x")) to.Hold(50ms);
      },
      {1s, 2s}, [](std::string_view) { return true; });
  EXPECT_FALSE(answer.is_silent);
  EXPECT_THAT(answer.error, HasSubstr("not over after 2 s"));
}

TEST_F(ApiClientTest, ARefusalWithoutEnd) {
  const ApiClient::Answer answer = Ask(
      [](const std::string&, ScriptedApi::Answer& to) {
        to.Begin(500);
        const std::string piece(size_t{1} << 16, '\x1b');
        while (to.Write(piece)) {
        }
      },
      {60s, 60s});
  EXPECT_EQ(answer.code, 500);
  EXPECT_LE(answer.body.size(), size_t{256} << 10);
  EXPECT_LT(answer.Describe().size(), 600u);
  EXPECT_THAT(answer.Describe(), testing::Not(HasSubstr("\x1b"))) << "a log is not forged";
}

TEST_F(ApiClientTest, RetryAfterHasBounds) {
  for (const auto& [said, seconds] : std::vector<std::pair<std::string, int>>{
           {"7", 7}, {"0", 0}, {"-5", 0}, {"100000", 60}, {"99999999999999999999", -1}, {"tomorrow", -1}}) {
    const ApiClient::Answer answer =
        Ask([header = "Retry-After: " + said + "\r\n"](
                const std::string&, ScriptedApi::Answer& to) { to.Whole(429, "", header); },
            {60s, 60s});
    EXPECT_EQ(answer.retry_after_seconds, seconds) << said;
  }
}

TEST_F(ApiClientTest, AnAuthorityThatCannotBeReadIsNotTheSystems) {
  ApiAccess access;
  access.servers = {"https://127.0.0.1:1"};
  access.ca_file = "/nonexistent/ca.crt";
  const ApiClient::Answer answer = ApiClient(access).Get("/path", {10s, 10s});
  EXPECT_THAT(answer.error, HasSubstr("/nonexistent/ca.crt: is empty or cannot be read"));
}

}  // namespace
}  // namespace sluice::kubernetes
