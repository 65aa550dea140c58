// What Prometheus is told, by kube-proxy's names.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "absl/base/thread_annotations.h"
#include "control/mutex.h"

namespace sluice::kubernetes {

// Bounds double, from the first on.
class Histogram {
 public:
  Histogram(double first_bound, int bounds) : first_bound_(first_bound), bounds_(bounds) {}

  void Observe(double value);
  void Print(const char* name, const char* help, std::string& page) const;

 private:
  static constexpr int kMost = 24;
  const double first_bound_;
  const int bounds_;
  mutable Mutex mutex_;
  std::array<uint64_t, kMost + 1> counts_ ABSL_GUARDED_BY(mutex_){};
  double sum_ ABSL_GUARDED_BY(mutex_) = 0;
};

struct KubeMetrics {
  Histogram sync_duration{0.001, 15};
  Histogram programming_duration{0.015625, 18};
  std::atomic<double> last_sync{0};    // seconds since 1970
  std::atomic<double> last_queued{0};  // the same
  std::atomic<uint64_t> service_changes{0}, slice_changes{0};
  std::atomic<uint64_t> no_local_internal{0}, no_local_external{0};  // Services, now
  std::atomic<uint64_t> services{0}, virtual_services{0}, draining{0};
  std::atomic<uint64_t> failed_applies{0};
  std::atomic<uint64_t> left_out{0};                            // virtual services that sluiced has refused
  std::atomic<uint64_t> disbelieved{0};                         // answers of the API server that cannot be
  std::atomic<uint64_t> wrong_annotations{0};                   // now
  std::atomic<uint64_t> lost_claims{0}, unserved_addresses{0};  // now
  std::atomic<uint64_t> lists{0}, watches{0}, events{0}, api_errors{0}, refused_objects{0};
  std::atomic<uint64_t> healthz_ok{0}, healthz_bad{0}, livez_ok{0}, livez_bad{0};

  std::string Page() const;
};

}  // namespace sluice::kubernetes
