// What a run of sluice-bench found, told as text or JSON.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bench/histogram.h"

namespace sluice {

class Report {
 public:
  void Add(const std::string& name, uint64_t value);
  void Add(const std::string& name, double value);
  // p50, p90, p99, p99.9 and the most, of nanoseconds.
  void AddLatency(const Histogram& histogram);
  struct LossyFlow {
    std::string name;
    uint64_t sent;
    uint64_t lost;
  };
  // The worst are told.
  void AddLossyFlows(std::vector<LossyFlow> flows);

  void Print(bool json) const;

 private:
  std::vector<std::pair<std::string, std::string>> values_;
  std::vector<LossyFlow> worst_;
};

// A line that is written over, on a terminal.
void ShowProgress(double second, uint64_t done, uint64_t failed);
void EndProgress();

}  // namespace sluice
