// How the API server is asked for objects, whatever it answers: which versions, how often, and what is kept.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripted_api.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

using Answer = ScriptedApi::Answer;

std::string ServiceText(const std::string& name, const std::string& version) {
  return R"({"kind":"Service","metadata":{"namespace":"default","name":")" + name +
         R"(","resourceVersion":")" + version +
         R"("},"spec":{"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"ports":[{"port":80}]}})";
}

std::string ListText(const std::string& version, const std::string& items, const std::string& rest = "") {
  return R"({"kind":"ServiceList","metadata":{"resourceVersion":")" + version + R"(","continue":")" + rest +
         R"("},"items":[)" + items + "]}";
}

std::string EventText(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string ErrorText(int code) {
  return EventText("ERROR", R"({"kind":"Status","message":"it is","code":)" + std::to_string(code) + "}");
}

bool IsWatch(const std::string& path) { return path.find("watch=1") != std::string::npos; }

bool WaitFor(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(10ms);
  return holds();
}

// A reflector of Services and the server it asks. `script` gets the number of the request, too.
class Reflected {
 public:
  explicit Reflected(std::function<void(int, const std::string&, Answer&)> script,
                     std::chrono::seconds silence = 25s)
      : api_([this, script](const std::string& path, Answer& answer) { script(asked_++, path, answer); }) {
    ApiAccess access;
    access.servers = {api_.url()};
    reflector_ = std::make_unique<Reflector<ServiceObject>>(
        access, Collection{"/api/v1/services", "!proxy", "a!=None"}, cluster_, silence);
  }

  bool Has(const std::vector<std::string>& names) {
    return WaitFor([&] {
      std::vector<std::string> have;
      for (const ObjectName& each : cluster_.ServiceNames()) have.push_back(each.name);
      return have == names;
    });
  }
  bool WaitForRequests(size_t count) {
    return WaitFor([&] { return api_.requests().size() >= count; });
  }
  std::vector<std::string> requests() const { return api_.requests(); }
  const ReflectorCounts& counts() const { return reflector_->counts(); }

 private:
  std::atomic<int> asked_{0};
  Cluster cluster_;
  ScriptedApi api_;
  std::unique_ptr<Reflector<ServiceObject>> reflector_;
};

// What a bad server may cost: two requests in the first 0.8 s, and then fewer and fewer.
void ExpectFewRequests(const std::vector<Reflected*>& all) {
  for (Reflected* each : all) ASSERT_TRUE(each->WaitForRequests(2));
  std::this_thread::sleep_for(2s);  // a flood would be seen
  for (Reflected* each : all) {
    EXPECT_LE(each->requests().size(), 8u);
    EXPECT_GE(each->counts().errors.load(), 1u);
  }
}

TEST(ReflectorTest, ListsFromMemoryFirstAndPages) {
  Reflected reflected([](int, const std::string& path, Answer& answer) {
    if (IsWatch(path)) return answer.Begin(), answer.Hold();
    const bool is_first = path.find("continue") == std::string::npos;
    answer.Whole(
        200, is_first ? ListText("7", ServiceText("a", "3"), "x/y") : ListText("7", ServiceText("b", "5")));
  });
  ASSERT_TRUE(reflected.Has({"a", "b"}));
  ASSERT_TRUE(reflected.WaitForRequests(3));
  const std::vector<std::string> requests = reflected.requests();
  EXPECT_THAT(requests[0],
              AllOf(HasSubstr("limit=500"), HasSubstr("resourceVersion=0"), Not(HasSubstr("Match")),
                    HasSubstr("labelSelector=%21proxy"), HasSubstr("fieldSelector=a%21%3dNone")));
  EXPECT_THAT(requests[1],
              AllOf(HasSubstr("limit=500"), HasSubstr("continue=x%2fy"), Not(HasSubstr("resourceVersion"))));
  EXPECT_THAT(requests[2], AllOf(HasSubstr("resourceVersion=7"), HasSubstr("allowWatchBookmarks=true")));
}

// An API server that has restarted tells all watches that they are too old.
TEST(ReflectorTest, OneListAfterAWatchThatIsTooOld) {
  Reflected reflected([](int number, const std::string& path, Answer& answer) {
    if (number == 0) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
    if (number == 1) return void(answer.Begin() && answer.Write(ErrorText(410)));
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("9", ServiceText("b", "8"))));
    answer.Begin();
    answer.Hold();
  });
  ASSERT_TRUE(reflected.Has({"b"}));
  ASSERT_TRUE(reflected.WaitForRequests(4));
  EXPECT_THAT(reflected.requests()[2],
              AllOf(HasSubstr("resourceVersion=7"), HasSubstr("resourceVersionMatch=NotOlderThan")));
  EXPECT_THAT(reflected.requests()[3], AllOf(HasSubstr("watch=1"), HasSubstr("resourceVersion=9")));
  EXPECT_EQ(reflected.counts().errors.load(), 1u);
}

TEST(ReflectorTest, ListsThatAreTooOldAreFewAndThenOfTheNewest) {
  Reflected reflected([](int number, const std::string&, Answer& answer) {
    if (number == 0) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
    if (number == 1) return void(answer.Begin() && answer.Write(ErrorText(410)));
    answer.Whole(410, R"({"kind":"Status","reason":"Expired","code":410})");
  });
  ASSERT_TRUE(reflected.WaitForRequests(4));
  ExpectFewRequests({&reflected});
  EXPECT_THAT(reflected.requests()[2], HasSubstr("resourceVersionMatch=NotOlderThan"));
  EXPECT_THAT(reflected.requests()[3], AllOf(Not(HasSubstr("resourceVersion")), HasSubstr("limit=500")));
  EXPECT_GE(reflected.counts().errors.load(), 3u) << "each 410 is one";
  EXPECT_TRUE(reflected.Has({"a"})) << "what was known stays";
}

TEST(ReflectorTest, PagesThatExpireAreAskedForAllAtOnce) {
  Reflected reflected([](int number, const std::string& path, Answer& answer) {
    if (IsWatch(path)) return answer.Begin(), answer.Hold();
    if (number == 0) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"), "more")));
    if (number == 1)
      return void(answer.Whole(410, R"({"kind":"Status","code":410,"metadata":{"continue":"other"}})"));
    answer.Whole(200, ListText("9", ServiceText("a", "3") + "," + ServiceText("b", "8")));
  });
  ASSERT_TRUE(reflected.Has({"a", "b"}));
  EXPECT_THAT(reflected.requests()[2],
              AllOf(Not(HasSubstr("limit")), Not(HasSubstr("resourceVersion")), Not(HasSubstr("continue"))));
}

TEST(ReflectorTest, AContinueTokenThatIsForEverTheSame) {
  Reflected reflected([](int, const std::string&, Answer& answer) {
    answer.Whole(200, ListText("7", ServiceText("a", "3"), "same"));
  });
  ExpectFewRequests({&reflected});
}

TEST(ReflectorTest, PagesWithoutEnd) {
  Reflected reflected([](int number, const std::string&, Answer& answer) {
    answer.Whole(200, ListText("7", "", std::to_string(number)));
  });
  ASSERT_TRUE(WaitFor([&] { return reflected.counts().errors.load() >= 1; }));
  EXPECT_LE(reflected.requests().size(), 1001u);
}

TEST(ReflectorTest, AListWithoutEnd) {
  Reflected reflected([](int, const std::string&, Answer& answer) {
    std::string item = ServiceText("a", "3") + ",";
    while (item.size() < size_t{4} << 20) item += item;
    answer.Begin();
    answer.Write(R"({"kind":"ServiceList","items":[)");
    while (answer.Write(item)) {
    }
  });
  ASSERT_TRUE(WaitFor([&] { return reflected.counts().errors.load() >= 1; }));
  EXPECT_LE(reflected.requests().size(), 2u);
}

TEST(ReflectorTest, MoreElementsThanAnyCluster) {
  Reflected reflected([](int, const std::string&, Answer& answer) {
    std::string zeros = "0";
    for (int i = 1; i < 99'000; ++i) zeros += ",0";
    std::string items;
    for (int i = 0; i < 51; ++i) {
      const std::string name = "a" + std::to_string(i);
      items +=
          (i == 0 ? "" : ",") + std::string(R"({"metadata":{"name":")") + name + R"("},"x":[)" + zeros + "]}";
    }
    answer.Whole(200, ListText("7", items));
  });
  ASSERT_TRUE(WaitFor([&] { return reflected.counts().errors.load() >= 1; }));
  EXPECT_EQ(reflected.counts().watches.load(), 0u);
}

TEST(ReflectorTest, AVersionOfTheFuture) {
  Reflected reflected([](int number, const std::string& path, Answer& answer) {
    if (number == 0) return void(answer.Whole(200, ListText("700", ServiceText("a", "3"))));
    if (number == 1) return void(answer.Whole(410, R"({"kind":"Status","code":410})"));
    if (path.find("resourceVersion=700") != std::string::npos)
      return void(answer.Whole(
          504, R"({"kind":"Status","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}})"));
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("9", ServiceText("b", "8"))));
    answer.Begin();
    answer.Hold();
  });
  ASSERT_TRUE(reflected.Has({"b"}));
  EXPECT_THAT(reflected.requests()[3], Not(HasSubstr("resourceVersion")));
}

TEST(ReflectorTest, VersionsThatGoBackwards) {
  Reflected reflected([](int number, const std::string& path, Answer& answer) {
    if (number == 0) return void(answer.Whole(200, ListText("700", ServiceText("a", "3"))));
    if (number == 1)
      return void(answer.Begin() && answer.Write(EventText("MODIFIED", ServiceText("a", "5"))));
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("6", ServiceText("b", "5"))));
    answer.Begin();
    answer.Hold();
  });
  ASSERT_TRUE(reflected.Has({"b"}));
  EXPECT_THAT(reflected.requests()[2], Not(HasSubstr("resourceVersion"))) << "what the server has now";
}

// HAProxy before an API server cuts what is quiet; here after more than a second.
TEST(ReflectorTest, AQuietWatchThatIsCutIsTakenUpAtOnce) {
  std::atomic<int> watches{0};
  Reflected reflected([&](int number, const std::string& path, Answer& answer) {
    if (number == 0) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", "")));
    ++watches;
    answer.Begin(200, "Transfer-Encoding: chunked\r\n");  // and it is not ended
    answer.Hold(1200ms);
  });
  // With a backoff that grows six would take over a minute.
  ASSERT_TRUE(WaitFor([&] { return watches.load() >= 6; }));
  EXPECT_EQ(reflected.counts().errors.load(), 0u);
  EXPECT_EQ(reflected.counts().lists.load(), 1u);
}

// A middlebox may hold a connection whose other end is gone, and acknowledge every probe.
TEST(ReflectorTest, ASilentWatchIsTakenUpAgain) {
  Reflected reflected(
      [](int number, const std::string& path, Answer& answer) {
        if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
        answer.Begin();
        if (number == 1) answer.Write(EventText("ADDED", ServiceText("b", "8")));
        if (number == 3) answer.Write(EventText("ADDED", ServiceText("c", "9")));
        answer.Hold();
      },
      1s);
  ASSERT_TRUE(reflected.Has({"a", "b", "c"}));
  EXPECT_THAT(reflected.requests()[2], AllOf(HasSubstr("watch=1"), HasSubstr("resourceVersion=8")));
  EXPECT_EQ(reflected.counts().errors.load(), 0u);
  EXPECT_EQ(reflected.counts().lists.load(), 1u);
}

TEST(ReflectorTest, AServerThatNeverAnswersIsGivenUp) {
  Reflected reflected(
      [](int, const std::string& path, Answer& answer) {
        if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
        answer.Hold();
      },
      1s);
  ASSERT_TRUE(WaitFor([&] { return reflected.counts().errors.load() >= 2; }));
  EXPECT_EQ(reflected.counts().lists.load(), 1u);
}

// After a restore of the server's data a watch from our version says nothing for ever.
TEST(ReflectorTest, ASilentWatchFromTheFuture) {
  Reflected reflected(
      [](int number, const std::string& path, Answer& answer) {
        if (number == 0) return void(answer.Whole(200, ListText("700", ServiceText("a", "3"))));
        if (number == 1) return void(answer.Whole(503, ""));
        if (IsWatch(path)) return answer.Begin(), answer.Hold();
        if (path.find("resourceVersion=700") == std::string::npos)
          return void(answer.Whole(200, ListText("9", ServiceText("b", "8"))));
        answer.Whole(504, R"({"kind":"Status","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}})");
      },
      1s);
  ASSERT_TRUE(reflected.Has({"b"}));
}

TEST(ReflectorTest, GarbageOnAWatch) {
  Reflected reflected([](int, const std::string& path, Answer& answer) {
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
    answer.Begin();
    answer.Write(EventText("MODIFIED", ServiceText("a", "8")) + "garbage\n");
  });
  ExpectFewRequests({&reflected});
  EXPECT_TRUE(reflected.Has({"a"}));
}

TEST(ReflectorTest, WatchesThatEndAtOnce) {
  const auto script = [](const std::string& news) {
    return [news](int, const std::string& path, Answer& answer) {
      if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
      answer.Begin();
      answer.Write(news);
    };
  };
  Reflected without_news(script(""));
  Reflected with_news(script(EventText("BOOKMARK", R"({"metadata":{"resourceVersion":"8"}})")));
  ExpectFewRequests({&without_news, &with_news});
}

TEST(ReflectorTest, TroubleThatComesBackIsSaidAgain) {
  testing::internal::CaptureStderr();
  {
    Reflected reflected([](int number, const std::string& path, Answer& answer) {
      if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
      answer.Begin();
      // Twice a list and a bad watch; then a watch that lives, and trouble again.
      if (number == 5) return answer.Hold(1100ms);
      if (number < 8) answer.Write("garbage\n");
      if (number >= 8) answer.Hold();
    });
    EXPECT_TRUE(reflected.WaitForRequests(9));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  size_t times = 0;
  for (size_t at = said.find("watch: an event"); at != std::string::npos;
       at = said.find("watch: an event", at + 1))
    ++times;
  EXPECT_EQ(times, 2u) << said;
}

TEST(ReflectorTest, RetryAfterZeroIsNoReasonToHurry) {
  Reflected reflected([](int, const std::string&, Answer& answer) {
    answer.Whole(429, "Too many requests\n", "Retry-After: 0\r\n");
  });
  ExpectFewRequests({&reflected});
}

TEST(ReflectorTest, RetryAfterIsKept) {
  const auto begin = std::chrono::steady_clock::now();
  Reflected reflected(
      [&](int, const std::string&, Answer& answer) { answer.Whole(503, "", "Retry-After: 2\r\n"); });
  ASSERT_TRUE(reflected.WaitForRequests(2));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 2s);
}

TEST(ReflectorTest, RefusalsOfManyKinds) {
  const std::vector<std::pair<int, std::string>> kinds = {
      {200, "<html>Welcome</html>"},
      {200, "{}"},
      {200, ListText("", ServiceText("a", "3"))},
      {302, ""},
      {500, std::string(size_t{1} << 20, 'x')},
      {200, R"({"kind":"Status","status":"Success","code":200})"},
  };
  std::vector<std::unique_ptr<Reflected>> kept;
  std::vector<Reflected*> all;
  for (const auto& [code, body] : kinds) {
    kept.push_back(
        std::make_unique<Reflected>([code = code, body = body](int, const std::string& path, Answer& answer) {
          EXPECT_THAT(path, Not(HasSubstr("elsewhere"))) << "redirects are not followed";
          answer.Whole(code, body, "Location: /elsewhere\r\n");
        }));
    all.push_back(kept.back().get());
  }
  ExpectFewRequests(all);
}

TEST(ReflectorTest, AnObjectThatBreaksTheRulesHoldsUpNoOther) {
  Reflected reflected([](int, const std::string& path, Answer& answer) {
    if (!IsWatch(path)) {
      return void(
          answer.Whole(200, ListText("7", R"({},{"metadata":7},)" + ServiceText("a\\u001b[2J\\nb", "3") +
                                              "," + ServiceText("good", "4"))));
    }
    answer.Begin();
    answer.Write(EventText("ADDED", R"({"metadata":{"name":"A B","resourceVersion":"8"}})") +
                 EventText("DELETED", ServiceText("never-added", "9")) + EventText("STRANGE", "{}") + "\n" +
                 R"({"type":"ADDED"})" + "\n" + EventText("MODIFIED", ServiceText("new", "10")));
    answer.Hold();
  });
  EXPECT_TRUE(reflected.Has({"good", "new"}));
  EXPECT_EQ(reflected.counts().refused.load(), 6u);
  EXPECT_EQ(reflected.counts().errors.load(), 0u);
}

TEST(ReflectorTest, AnEventWithoutEnd) {
  Reflected reflected([](int, const std::string& path, Answer& answer) {
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", ServiceText("a", "3"))));
    answer.Begin();
    const std::string piece(size_t{1} << 20, 'x');
    while (answer.Write(piece)) {
    }
  });
  ASSERT_TRUE(WaitFor([&] { return reflected.counts().errors.load() >= 1; }));
  EXPECT_TRUE(reflected.Has({"a"}));
}

TEST(ReflectorTest, ItStopsAtOnceWhileAWatchIsQuiet) {
  auto reflected = std::make_unique<Reflected>([](int, const std::string& path, Answer& answer) {
    if (!IsWatch(path)) return void(answer.Whole(200, ListText("7", "")));
    answer.Begin();
    answer.Hold();
  });
  ASSERT_TRUE(reflected->WaitForRequests(2));
  const auto begin = std::chrono::steady_clock::now();
  reflected.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

}  // namespace
}  // namespace sluice::kubernetes
