// SPDX-License-Identifier: Apache-2.0
#include "control/rate_estimator.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// What a kernel showed after 20 connections of 40 bytes within two seconds, and two seconds later.
TEST(RateEstimatorTest, FollowsTheKernel) {
  RateEstimator estimator;
  const DestinationStatistics burst{.connections = 20, .in_packets = 20, .in_bytes = 800};
  estimator.Update(burst);
  EXPECT_EQ(estimator.Rates().connections, 2u);
  EXPECT_EQ(estimator.Rates().in_packets, 2u);
  EXPECT_EQ(estimator.Rates().in_bytes, 100u);
  EXPECT_EQ(estimator.Rates().out_packets, 0u);
  estimator.Update(burst);
  EXPECT_EQ(estimator.Rates().connections, 2u);
  EXPECT_EQ(estimator.Rates().in_bytes, 75u);

  RateEstimator half;
  half.Update({.connections = 10, .in_packets = 10, .in_bytes = 400});
  EXPECT_EQ(half.Rates().connections, 1u);
  EXPECT_EQ(half.Rates().in_bytes, 50u);
  half.Update({.connections = 10, .in_packets = 10, .in_bytes = 400});
  EXPECT_EQ(half.Rates().in_bytes, 37u);
}

TEST(RateEstimatorTest, ASteadyRateIsReachedAndForgotten) {
  RateEstimator estimator({.in_packets = 1'000'000});
  DestinationStatistics now{.in_packets = 1'000'000};
  for (int i = 0; i < 60; ++i) {
    now.in_packets += 20'000'000;
    now.out_bytes += 3'000'000'000;
    estimator.Update(now);
  }
  EXPECT_EQ(estimator.Rates().in_packets, 10'000'000u);
  EXPECT_NEAR(static_cast<double>(estimator.Rates().out_bytes), 1.5e9, 100);
  for (int i = 0; i < 120; ++i) estimator.Update(now);
  EXPECT_EQ(estimator.Rates().in_packets, 0u);
}

}  // namespace
}  // namespace sluice
