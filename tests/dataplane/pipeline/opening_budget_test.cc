// The share that established connections keep of a worker that is behind.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/opening_budget.h"

#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class OpeningBudgetTest : public testing::Test {
 protected:
  // A millisecond in which so many would open a connection. Returns how many may.
  int Live(int openings, bool behind) {
    int taken = 0;
    for (int i = 0; i < openings; ++i) taken += budget_.Take();
    for (int i = 0; i < 10; ++i) budget_.NoteBurst(1, behind);
    now_ += OpeningBudget::kIntervalNs;
    EXPECT_TRUE(budget_.Tick(now_));
    return taken;
  }

  OpeningBudget budget_;
  uint64_t now_ = 0;
};

TEST_F(OpeningBudgetTest, WithoutABacklogThereIsNone) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Live(5000, false), 5000);
  EXPECT_EQ(budget_.allowed(), OpeningBudget::kUnlimited);
}

TEST_F(OpeningBudgetTest, BehindItShrinksToTheLeastAndGrowsAgain) {
  EXPECT_EQ(Live(1000, true), 1000);
  EXPECT_EQ(Live(1000, true), 750);
  for (int i = 0; i < 30; ++i) Live(1000, true);
  EXPECT_EQ(Live(1000, true), static_cast<int>(OpeningBudget::kLeast)) << "some always come in";
  int milliseconds = 0;
  for (; budget_.allowed() != OpeningBudget::kUnlimited && milliseconds < 1000; ++milliseconds)
    Live(1000, false);
  EXPECT_LT(milliseconds, 100);
}

// A flood that takes everything it can get: a quarter of all packets may open a connection still.
TEST_F(OpeningBudgetTest, ABacklogThatNothingHelpsAgainst) {
  constexpr int kBursts = 1000;
  for (int interval = 1; interval <= 100; ++interval) {
    int taken = 0;
    for (int i = 0; i < kBursts * kBurst; ++i) taken += budget_.Take();
    for (int i = 0; i < kBursts; ++i) budget_.NoteBurst(kBurst, true);
    ASSERT_TRUE(budget_.Tick(static_cast<uint64_t>(interval) * OpeningBudget::kIntervalNs));
    EXPECT_GE(taken, kBursts * kBurst / 4);
  }
  EXPECT_EQ(budget_.allowed(), kBursts * kBurst / 4);
}

TEST_F(OpeningBudgetTest, AFewFullBurstsAreNoBacklog) {
  budget_.NoteBurst(kBurst, true);
  budget_.NoteBurst(kBurst, true);
  EXPECT_TRUE(budget_.Tick(OpeningBudget::kIntervalNs));
  EXPECT_EQ(budget_.allowed(), OpeningBudget::kUnlimited);
}

TEST_F(OpeningBudgetTest, WhatIsTooManyIsDroppedUnderAName) {
  PipelineRig rig;
  rig.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 80)});
  const auto send = [&](uint16_t port, uint8_t flags) {
    return rig.Send(Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(flags)).where;
  };
  EXPECT_EQ(send(1000, kTcpSyn), "wire 1");
  for (int i = 0; i < 10; ++i) rig.worker->openings.NoteBurst(1, true);
  ASSERT_TRUE(rig.worker->openings.Tick(OpeningBudget::kIntervalNs));
  int opened = 0;
  for (uint16_t port = 2000; port < 2200; ++port) opened += send(port, kTcpSyn) == "wire 1";
  EXPECT_EQ(opened, static_cast<int>(OpeningBudget::kLeast));
  EXPECT_EQ(rig.Count(Counter::kDropOverload), 200u - OpeningBudget::kLeast);
  EXPECT_EQ(send(1000, kTcpAck), "wire 1") << "established ones go on";
}

}  // namespace
}  // namespace sluice
