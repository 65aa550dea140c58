// Which Events are told, and how often.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/event_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::Optional;
using testing::StartsWith;

class EventFilterTest : public testing::Test {
 protected:
  std::optional<std::string> Pass(const std::string& message, const std::string& uid = "1",
                                  const std::string& reason = "InvalidAnnotation") {
    return filter_.Pass(uid, reason, message, now_);
  }
  EventFilter filter_;
  EventFilter::Clock::time_point now_{1h};
};

TEST_F(EventFilterTest, TheSameIsToldOnceInTenMinutes) {
  EXPECT_THAT(Pass("a"), Optional(std::string("a")));
  EXPECT_FALSE(Pass("a"));
  EXPECT_TRUE(Pass("b"));
  EXPECT_TRUE(Pass("a", "2"));
  EXPECT_TRUE(Pass("a", "1", "AddressConflict"));
  now_ += 11min;
  EXPECT_TRUE(Pass("a"));
}

TEST_F(EventFilterTest, ManyOfOneKindAreCombined) {
  int told = 0;
  std::string last;
  for (int i = 0; i < 32; ++i) {
    if (const auto message = Pass("annotation " + std::to_string(i))) ++told, last = *message;
  }
  EXPECT_EQ(told, 11);
  EXPECT_EQ(last, "(combined from similar events): annotation 10");
}

TEST_F(EventFilterTest, OneServiceHasItsShare) {
  int told = 0;
  for (int reason = 0; reason < 10; ++reason) {
    for (int i = 0; i < 5; ++i) told += Pass(std::to_string(i), "1", std::to_string(reason)).has_value();
  }
  EXPECT_EQ(told, 25);
  EXPECT_TRUE(Pass("a", "2")) << "another Service's";
  now_ += 301s;
  EXPECT_TRUE(Pass("b"));
  EXPECT_FALSE(Pass("c"));
}

TEST_F(EventFilterTest, MemoryIsBounded) {
  for (int i = 0; i < 5'000; ++i) {
    Pass("a", std::to_string(i));
    now_ += 1ms;
  }
  EXPECT_EQ(filter_.size(), 2u * 4096);
}

TEST_F(EventFilterTest, NodesNameTheSameEventAlike) {
  EXPECT_EQ(EventName("web", "u", "R", "m"), EventName("web", "u", "R", "m"));
  EXPECT_NE(EventName("web", "u", "R", "m"), EventName("web", "u", "R", "n"));
  EXPECT_THAT(EventName("web", "u", "R", "m"), testing::MatchesRegex("web\\.[0-9a-f]+"));
}

}  // namespace
}  // namespace sluice::kubernetes
