// SluicedProbe asks sluiced every second whether it forwards: health is measured at the thing itself, and is bad until
// it has answered, when it says so, and when it no longer answers.
// Threads: any may ask; a thread of its own asks sluiced.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "control/metrics/readiness.h"
#include "control/mutex.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace sluice::kubernetes {

class SluicedProbe {
 public:
  using Clock = std::chrono::steady_clock;
  // An answer is good for `patience`: several questions may fail before the node is given up.
  struct Times {
    std::chrono::milliseconds period{1'000};
    std::chrono::milliseconds patience{5'000};
  };

  SluicedProbe(std::unique_ptr<v1::Sluice::StubInterface> sluiced, const Times& times);
  ~SluicedProbe();

  // By the last answer; without one that is young enough it is bad, and the text says why.
  Verdict Health() const;

 private:
  void Run();
  void Ask();

  const std::unique_ptr<v1::Sluice::StubInterface> sluiced_;
  const Times times_;
  mutable Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Verdict last_ ABSL_GUARDED_BY(mutex_){false, "sluiced has not answered yet\n"};
  Clock::time_point valid_until_ ABSL_GUARDED_BY(mutex_) = Clock::time_point::max();
  std::string trouble_ ABSL_GUARDED_BY(mutex_);  // why the last question has no answer
  std::thread thread_;
};

}  // namespace sluice::kubernetes
