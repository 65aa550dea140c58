// SPDX-License-Identifier: Apache-2.0
#include "control/api_probe.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kAskEvery = 2s;
constexpr auto kWaitFor = 5s;   // an answer
constexpr auto kGoodFor = 10s;  // an answer is good for so long

// With a connection of its own, not one that gRPC has from an earlier time.
std::unique_ptr<v1::Sluice::Stub> NewStub(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return v1::Sluice::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
}

// RESOURCE_EXHAUSTED is an answer if we ask too often, and none if the server has no thread for us.
bool IsAnswer(const grpc::Status& status) {
  return status.ok() || (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                         absl::StrContains(status.error_message(), "--max-requests-per-second"));
}

}  // namespace

ApiProbe::ApiProbe(const std::string& target) : target_(target) {
  Ask();
  thread_ = std::thread([this] { Run(); });
}

ApiProbe::~ApiProbe() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    if (asking_ != nullptr) asking_->TryCancel();
    mutex_.NotifyAll();
  }
  thread_.join();
}

Verdict ApiProbe::Health() const {
  const MutexLock lock(mutex_);
  if (Clock::now() <= valid_until_) return {true, "ok\n"};
  return {false, absl::StrCat("the API at ", target_, " does not answer: ", trouble_, "\n")};
}

void ApiProbe::Run() {
  while (true) {
    {
      const auto next = Clock::now() + kAskEvery;
      const MutexLock lock(mutex_);
      while (!stop_ && Clock::now() < next) mutex_.WaitUntil(next);
      if (stop_) return;
    }
    Ask();
  }
}

void ApiProbe::Ask() {
  const std::unique_ptr<v1::Sluice::Stub> stub = NewStub(target_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kWaitFor);
  {
    const MutexLock lock(mutex_);
    if (stop_) return;
    asking_ = &context;
  }
  v1::GetInfoResponse info;
  const grpc::Status status = stub->GetInfo(&context, {}, &info);
  const MutexLock lock(mutex_);
  asking_ = nullptr;
  if (IsAnswer(status)) {
    valid_until_ = Clock::now() + kGoodFor;
  } else {
    trouble_ = status.error_message();
  }
}

}  // namespace sluice
