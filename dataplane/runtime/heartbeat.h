// A worker's word to the XDP program that it lives, and for how long it may be silent. Under load a worker
// may get no processor for longer than that, and is innocent: one that finds it was silent for more than half
// of its limit raises the limit to twice the silence, to two seconds at most; within a minute it falls back.
// Threads: one worker; the shared words are read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/xdp/steer_abi.h"

namespace sluice {

class Heartbeat {
 public:
  static constexpr uint64_t kEveryNs = 1'000'000;
  static constexpr uint64_t kMostNs = 2'000'000'000;
  static constexpr uint64_t kFallsBackNs = 60'000'000'000;

  // `shared` has the limit already. nullptr: nobody looks.
  explicit Heartbeat(sluice_heartbeat* shared)
      : shared_(shared), usual_ns_(shared == nullptr ? 0 : shared->limit_ns) {}

  // Between rounds, by the worker's own clock; the kernel's is read once a millisecond.
  template <class KernelClock>
  void Beat(uint64_t now_ns, const KernelClock& kernel_clock) {
    if (shared_ == nullptr || (last_ns_ != 0 && now_ns - last_ns_ < kEveryNs)) return;
    if (last_ns_ != 0) Adapt(now_ns, now_ns - last_ns_);
    last_ns_ = now_ns;
    __atomic_store_n(&shared_->time_ns, kernel_clock(), __ATOMIC_RELAXED);
  }

  // How many packets that open connections a queue may get until the next beat; the program has a bound of
  // its own.
  void SetOpenings(uint32_t allowed) {
    if (shared_ != nullptr) __atomic_store_n(&shared_->openings, allowed, __ATOMIC_RELAXED);
  }

  // The worker is not to have packets from now on.
  void Stop() {
    if (shared_ == nullptr) return;
    __atomic_store_n(&shared_->time_ns, 0, __ATOMIC_RELAXED);
    last_ns_ = 0;
  }

 private:
  void Adapt(uint64_t now_ns, uint64_t silence_ns) {
    if (const uint64_t needed = 2 * silence_ns; needed > shared_->limit_ns) {
      const uint64_t raised = std::min(needed, std::max(usual_ns_, kMostNs));
      if (raised >= shared_->limit_ns) {
        raised_by_ns_ = raised - usual_ns_;
        raised_at_ns_ = now_ns;
      }
    }
    if (raised_by_ns_ == 0) return;
    const uint64_t since = now_ns - raised_at_ns_;
    const uint64_t rest =
        since < kFallsBackNs ? raised_by_ns_ / 1000 * ((kFallsBackNs - since) / 60'000'000) : 0;
    if (rest == 0) raised_by_ns_ = 0;
    __atomic_store_n(&shared_->limit_ns, usual_ns_ + rest, __ATOMIC_RELAXED);
  }

  sluice_heartbeat* const shared_;
  const uint64_t usual_ns_;
  uint64_t last_ns_ = 0;  // 0: stopped
  uint64_t raised_by_ns_ = 0;
  uint64_t raised_at_ns_ = 0;
};

}  // namespace sluice
