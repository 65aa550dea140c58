// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/sluiced_probe.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {

SluicedProbe::SluicedProbe(std::unique_ptr<v1::Sluice::StubInterface> sluiced, const Times& times)
    : sluiced_(std::move(sluiced)), times_(times), thread_([this] { Run(); }) {}

SluicedProbe::~SluicedProbe() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    if (asking_ != nullptr) asking_->TryCancel();
    mutex_.NotifyAll();
  }
  thread_.join();
}

Verdict SluicedProbe::Health() const {
  const MutexLock lock(mutex_);
  if (Clock::now() <= valid_until_) return last_;
  return {false, absl::StrCat("sluiced does not answer: ", trouble_, "\n")};
}

void SluicedProbe::Run() {
  while (true) {
    Ask();
    const auto next = Clock::now() + times_.period;
    const MutexLock lock(mutex_);
    while (!stop_ && Clock::now() < next) mutex_.WaitUntil(next);
    if (stop_) return;
  }
}

void SluicedProbe::Ask() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + times_.patience);
  {
    const MutexLock lock(mutex_);
    if (stop_) return;
    asking_ = &context;
  }
  v1::GetInfoResponse info;
  const grpc::Status status = sluiced_->GetInfo(&context, {}, &info);
  const MutexLock lock(mutex_);
  asking_ = nullptr;
  if (status.ok()) {
    last_ = Readiness(info);
    valid_until_ = Clock::now() + times_.patience;
    return;
  }
  trouble_ = status.error_message();
  // Never an answer: the text tells why.
  if (valid_until_ == Clock::time_point::max())
    last_.text = absl::StrCat("sluiced has not answered yet: ", trouble_, "\n");
}

}  // namespace sluice::kubernetes
