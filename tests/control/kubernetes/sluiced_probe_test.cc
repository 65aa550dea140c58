// A node is healthy when its sluiced says so, and no longer than it does.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/sluiced_probe.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class ToldSluiced final : public v1::Sluice::Service {
 public:
  grpc::Status GetInfo(grpc::ServerContext*, const v1::GetInfoRequest*, v1::GetInfoResponse* info) override {
    while (hangs.load()) std::this_thread::sleep_for(1ms);
    info->set_drained(is_drained.load());
    info->mutable_kernel_mirror()->set_steering(true);
    info->add_worker_infos();
    v1::PortInfo& port = *info->add_ports();
    port.set_attached(true);
    port.set_link_up(true);
    return grpc::Status::OK;
  }
  std::atomic<bool> is_drained{false}, hangs{false};
};

class SluicedProbeTest : public testing::Test {
 protected:
  ~SluicedProbeTest() override { sluiced_.hangs.store(false); }
  void StartSluiced() {
    server_ = grpc::ServerBuilder()
                  .AddListeningPort(target_, grpc::InsecureServerCredentials())
                  .RegisterService(&sluiced_)
                  .BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  std::unique_ptr<v1::Sluice::Stub> Stub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    return v1::Sluice::NewStub(
        grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments));
  }
  static bool Becomes(const SluicedProbe& probe, bool is_good) {
    for (int i = 0; i < 3000 && probe.Health().is_good != is_good; ++i) std::this_thread::sleep_for(10ms);
    return probe.Health().is_good == is_good;
  }

  const std::string target_ = "unix:" + testing::TempDir() + "probe." + std::to_string(getpid()) + ".sock";
  ToldSluiced sluiced_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(SluicedProbeTest, BadUntilItHasAnswered) {
  const SluicedProbe probe(Stub(), {.period = 10ms, .patience = 500ms});
  EXPECT_FALSE(probe.Health().is_good);
  EXPECT_THAT(probe.Health().text, HasSubstr("sluiced has not answered yet"));
  StartSluiced();
  EXPECT_TRUE(Becomes(probe, true));
}

TEST_F(SluicedProbeTest, BadWhenItDiesOrHangsAndGoodWhenItIsBack) {
  StartSluiced();
  const SluicedProbe probe(Stub(), {.period = 10ms, .patience = 500ms});
  EXPECT_TRUE(Becomes(probe, true));
  server_->Shutdown();
  EXPECT_TRUE(Becomes(probe, false));
  EXPECT_THAT(probe.Health().text, HasSubstr("sluiced does not answer: "));
  StartSluiced();
  EXPECT_TRUE(Becomes(probe, true));
  sluiced_.hangs.store(true);
  EXPECT_TRUE(Becomes(probe, false));
  sluiced_.hangs.store(false);
  EXPECT_TRUE(Becomes(probe, true));
}

TEST_F(SluicedProbeTest, BadWhenItSaysSo) {
  sluiced_.is_drained.store(true);
  StartSluiced();
  const SluicedProbe probe(Stub(), {.period = 10ms, .patience = 500ms});
  for (int i = 0; i < 3000 && probe.Health().text.find("drained") == std::string::npos; ++i)
    std::this_thread::sleep_for(10ms);
  EXPECT_THAT(probe.Health().text, HasSubstr("this node is drained"));
  EXPECT_FALSE(probe.Health().is_good);
  sluiced_.is_drained.store(false);
  EXPECT_TRUE(Becomes(probe, true));
}

TEST_F(SluicedProbeTest, EndsThoughSluicedHangs) {
  sluiced_.hangs.store(true);
  StartSluiced();
  { const SluicedProbe probe(Stub(), {.period = 10ms, .patience = 1h}); }
}

}  // namespace
}  // namespace sluice::kubernetes
