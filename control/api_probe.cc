// SPDX-License-Identifier: Apache-2.0
#include "control/api_probe.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kAskEvery{1};
constexpr std::chrono::seconds kAnswerWithin{2};
constexpr std::chrono::seconds kLongestWithoutAnswer{10};

// Whoever is refused because of too many requests has been answered; who gets no thread has not.
bool IsAnswer(const grpc::Status& status) {
  return status.ok() || (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                         absl::StrContains(status.error_message(), "--max-requests-per-second"));
}

}  // namespace

ApiProbe::ApiProbe(std::string target) : target_(std::move(target)) {
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

std::string ApiProbe::Trouble() const {
  const MutexLock lock(mutex_);
  const auto silence = Clock::now() - last_answer_;
  if (has_answered_ && silence < kLongestWithoutAnswer) return "";
  return absl::StrCat("the API at ", target_, " has not answered for ",
                      std::chrono::duration_cast<std::chrono::seconds>(silence).count(),
                      " seconds: ", error_);
}

void ApiProbe::Run() {
  while (true) {
    {
      const MutexLock lock(mutex_);
      const auto next = Clock::now() + kAskEvery;
      while (!stop_ && Clock::now() < next) mutex_.WaitUntil(next);
      if (stop_) return;
    }
    Ask();
  }
}

void ApiProbe::Ask() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  const auto stub =
      v1::Sluice::NewStub(grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAnswerWithin);
  {
    const MutexLock lock(mutex_);
    if (stop_) return;
    asking_ = &context;
  }
  v1::GetInfoResponse response;
  const grpc::Status status = stub->GetInfo(&context, {}, &response);
  const MutexLock lock(mutex_);
  asking_ = nullptr;
  if (IsAnswer(status)) {
    has_answered_ = true;
    last_answer_ = Clock::now();
  } else {
    error_ = status.error_message();
  }
}

}  // namespace sluice
