// Prometheus reads the numbers that were counted.
// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/metric_value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace sluice {
namespace {

TEST(MetricValueTest, NumbersAreWrittenExactly) {
  EXPECT_EQ(MetricValue(uint64_t{18446744073709551615u}), "18446744073709551615");
  EXPECT_EQ(MetricValue(1234567.25), "1234567.25");
  EXPECT_EQ(MetricValue(0.1), "0.1");
  EXPECT_EQ(MetricValue(0.0001), "0.0001");
  EXPECT_EQ(MetricValue(0.0), "0");
  EXPECT_EQ(MetricValue(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(MetricValue(std::nan("")), "NaN");
  for (const double value : {1764306373.123456, 1.0 / 3, -2.2250738585072014e-308, 1e300, 9007199254740993.0})
    EXPECT_EQ(std::stod(MetricValue(value)), value);
}

}  // namespace
}  // namespace sluice
