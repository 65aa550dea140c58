// How often the API server was asked, and how it answered.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "control/mutex.h"

namespace sluice::kubernetes {

class RequestCounts {
 public:
  // `code`: HTTP's; 0: there was no answer.
  void Add(const std::string& method, const std::string& server, long code);
  // For Prometheus, with client-go's name.
  void Print(std::string& page) const;

 private:
  mutable Mutex mutex_;
  // Method, host and port, code.
  std::map<std::tuple<std::string, std::string, long>, uint64_t> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::kubernetes
