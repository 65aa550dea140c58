// So many a second, a second's worth at once.
#include "control/rate_limit.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::milliseconds;

TEST(RateLimitTest, LetsSoManyThrough) {
  RateLimit limit(100);
  const RateLimit::Clock::time_point begin = RateLimit::Clock::now();
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += limit.Admits(begin);
  EXPECT_EQ(admitted, 100) << "a second's worth at once";
  for (int ms = 1; ms <= 5000; ++ms) admitted += limit.Admits(begin + milliseconds(ms));
  EXPECT_NEAR(admitted, 600, 1);
  EXPECT_FALSE(limit.Admits(begin)) << "a clock that went back gives nothing";
}

}  // namespace
}  // namespace sluice
