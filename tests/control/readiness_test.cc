// A health signal says yes only for what it has seen.
// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/readiness.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

constexpr char kGood[] =
    "kernel_mirror { steering: true } worker_infos { silent_seconds: 0.01 } "
    "ports { name: 'a' attached: true link_up: true } ";

v1::GetInfoResponse Info(const std::string& text) {
  v1::GetInfoResponse info;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &info)) << text;
  return info;
}

TEST(ReadinessTest, Good) {
  EXPECT_TRUE(Liveness(Info(kGood)).is_good);
  EXPECT_TRUE(Readiness(Info(kGood)).is_good);
  EXPECT_EQ(Readiness(Info(kGood)).text, "ok\n");
}

TEST(ReadinessTest, NothingIsGoodByDefault) {
  EXPECT_FALSE(Liveness({}).is_good);
  EXPECT_FALSE(Readiness({}).is_good);
  EXPECT_FALSE(Readiness(Info("kernel_mirror { steering: true } worker_infos {}")).is_good) << "no ports";
}

TEST(ReadinessTest, AWorkerThatStandsStill) {
  for (const char* text : {"worker_infos { silent_seconds: 1.5 }", "worker_infos { silent_seconds: nan }"}) {
    const v1::GetInfoResponse info = Info(std::string(kGood) + text);
    EXPECT_THAT(Liveness(info).text, testing::StartsWith("worker 1 has been silent for "));
    EXPECT_FALSE(Liveness(info).is_good);
    EXPECT_FALSE(Readiness(info).is_good);
  }
}

TEST(ReadinessTest, ReadyIsMoreThanAlive) {
  for (const char* text :
       {"drained: true", "kernel_mirror { steering: false }", "ports { name: 'b' trouble: 'no XDP' }"}) {
    v1::GetInfoResponse info = Info(kGood);
    if (info.MergeFrom(Info(text)); text == std::string("kernel_mirror { steering: false }"))
      info.mutable_kernel_mirror()->set_steering(false);
    EXPECT_TRUE(Liveness(info).is_good) << text;
    EXPECT_FALSE(Readiness(info).is_good) << text;
    EXPECT_THAT(Readiness(info).text, testing::EndsWith("\n")) << text;
  }
}

TEST(ReadinessTest, TheKernelForwardsInPlaceOfUs) {
  v1::GetInfoResponse info = Info(kGood);
  info.mutable_kernel_mirror()->set_steering(false);
  info.mutable_kernel_mirror()->set_on(true);
  EXPECT_TRUE(Readiness(info).is_good);
}

}  // namespace
}  // namespace sluice
