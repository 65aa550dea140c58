// SPDX-License-Identifier: Apache-2.0
#include "control/state_keeper.h"

#include <cstdio>
#include <utility>

namespace sluice {

StateKeeper::StateKeeper(std::unique_ptr<StateFile> file, std::function<v1::ConfigDiff()> whole)
    : file_(std::move(file)), whole_(std::move(whole)) {
  thread_ = std::thread([this] { Run(); });
}

StateKeeper::~StateKeeper() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    mutex_.NotifyAll();
  }
  thread_.join();
}

void StateKeeper::Submit(v1::ConfigDiff change) {
  const MutexLock lock(mutex_);
  pending_.push_back(std::move(change));
  mutex_.NotifyAll();
}

absl::Status StateKeeper::WaitFor(uint64_t generation) {
  const MutexLock lock(mutex_);
  while (tried_ < generation && !stop_) mutex_.Wait();
  return last_;
}

void StateKeeper::Run() {
  while (true) {
    std::vector<v1::ConfigDiff> changes;
    {
      const MutexLock lock(mutex_);
      while (!stop_ && pending_.empty()) mutex_.Wait();
      if (pending_.empty()) return;
      changes = std::exchange(pending_, {});
    }
    const absl::Status kept = file_->Append(changes, whole_);
    const MutexLock lock(mutex_);
    if (!kept.ok() && last_.ok()) std::fprintf(stderr, "sluiced: %s\n", std::string(kept.message()).c_str());
    tried_ = changes.back().generation();
    last_ = kept;
    mutex_.NotifyAll();
  }
}

}  // namespace sluice
