// For how long a worker may be silent, and how long something that fails waits.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/heartbeat.h"

#include <gtest/gtest.h>

#include "dataplane/runtime/backoff.h"

namespace sluice {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kUsual = 100 * kMs;

class HeartbeatTest : public testing::Test {
 protected:
  void BeatAfter(uint64_t ns) {
    now_ += ns;
    heartbeat_.Beat(now_, [this] {
      ++clock_reads_;
      return now_;
    });
  }
  void BeatFor(uint64_t ns, uint64_t every) {
    for (uint64_t end = now_ + ns; now_ < end;) BeatAfter(every);
  }

  sluice_heartbeat shared_{.limit_ns = kUsual};
  Heartbeat heartbeat_{&shared_};
  uint64_t now_ = 5'000 * kMs;
  int clock_reads_ = 0;
};

TEST_F(HeartbeatTest, OnceAMillisecond) {
  BeatFor(10 * kMs, kMs / 100);
  EXPECT_LE(clock_reads_, 11);
  EXPECT_GE(clock_reads_, 10);
  EXPECT_GE(shared_.time_ns + kMs, now_);
  EXPECT_EQ(shared_.limit_ns, kUsual);
}

TEST_F(HeartbeatTest, AWorkerThatWasNotScheduledRaisesItsLimit) {
  BeatAfter(0);
  BeatAfter(50 * kMs);
  EXPECT_EQ(shared_.limit_ns, kUsual) << "half the limit is not more than half";
  BeatAfter(90 * kMs);
  EXPECT_EQ(shared_.limit_ns, 180 * kMs);
  BeatAfter(80 * kMs);
  EXPECT_LE(shared_.limit_ns, 180 * kMs) << "less than half of what it is now";
  BeatAfter(400 * kMs);
  EXPECT_EQ(shared_.limit_ns, 800 * kMs);
  BeatAfter(30'000 * kMs);
  EXPECT_EQ(shared_.limit_ns, Heartbeat::kMostNs);
  BeatAfter(30'000 * kMs);
  EXPECT_EQ(shared_.limit_ns, Heartbeat::kMostNs) << "it never grows beyond";
}

TEST_F(HeartbeatTest, TheLimitFallsBackWithinAMinute) {
  BeatAfter(0);
  BeatAfter(550 * kMs);
  EXPECT_EQ(shared_.limit_ns, 1100 * kMs);
  BeatFor(30'000 * kMs, 10 * kMs);
  EXPECT_NEAR(static_cast<double>(shared_.limit_ns), 600.0 * kMs, 5.0 * kMs);
  BeatFor(31'000 * kMs, 10 * kMs);
  EXPECT_EQ(shared_.limit_ns, kUsual);
  BeatFor(1'000 * kMs, 10 * kMs);
  EXPECT_EQ(shared_.limit_ns, kUsual);
}

TEST_F(HeartbeatTest, NoSilenceOfAWorkerThatWasStopped) {
  BeatAfter(0);
  heartbeat_.Stop();
  EXPECT_EQ(shared_.time_ns, 0u);
  BeatAfter(10'000 * kMs);
  EXPECT_EQ(shared_.time_ns, now_);
  EXPECT_EQ(shared_.limit_ns, kUsual);
}

TEST_F(HeartbeatTest, ALimitOfTheOperatorsThatIsLonger) {
  shared_.limit_ns = 10'000 * kMs;
  Heartbeat patient(&shared_);
  for (const uint64_t now : {kMs, 9'000 * kMs, 100'000 * kMs}) patient.Beat(now, [] { return 1; });
  EXPECT_EQ(shared_.limit_ns, 10'000 * kMs);
}

TEST(BackoffTest, WaitsLongerEachTimeAndForgets) {
  Backoff backoff;
  Backoff::Clock::time_point now = Backoff::Clock::now();
  EXPECT_TRUE(backoff.IsDue(now));
  std::chrono::milliseconds last{0};
  for (int i = 0; i < 12; ++i) {
    backoff.Tried(now);
    const auto begin = now;
    while (!backoff.IsDue(now)) now += std::chrono::milliseconds(1);
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(now - begin);
    EXPECT_GE(waited, std::min(Backoff::kFirst * (1 << i), Backoff::kLongest));
    EXPECT_LE(waited, Backoff::kLongest * 3 / 2);
    EXPECT_GE(waited * 3 / 2 + std::chrono::milliseconds(1), last) << "jitter, but no way back";
    last = waited;
  }
  now += std::chrono::minutes(2);
  backoff.Tried(now);
  EXPECT_TRUE(backoff.IsDue(now + Backoff::kFirst * 3 / 2 + std::chrono::milliseconds(1)));
  backoff.Reset();
  EXPECT_TRUE(backoff.IsDue(now));
}

}  // namespace
}  // namespace sluice
