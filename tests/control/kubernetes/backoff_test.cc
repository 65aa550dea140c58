// How long sluice-kube waits before it asks the API server again.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::kubernetes {
namespace {

TEST(BackoffTest, LongerEachTimeAndNeverTheSame) {
  Backoff backoff;
  std::chrono::milliseconds least{800};
  for (int i = 0; i < 10; ++i) {
    const std::chrono::milliseconds wait = backoff.Next();
    EXPECT_GE(wait, least);
    EXPECT_LT(wait, 2 * least);
    least = std::min<std::chrono::milliseconds>(2 * least, std::chrono::seconds(30));
  }
  backoff.Reset();
  EXPECT_LT(backoff.Next().count(), 1600);
}

}  // namespace
}  // namespace sluice::kubernetes
