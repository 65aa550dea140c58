// A service's destinations as a scheduler sees them, for tests: D1, D2 ... as ipvs-semantics names them,
// added in this order, so that the list order is the reverse.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "schedulers/scheduler.h"

namespace sluice {

class SchedulerRig {
 public:
  SchedulerRig(const std::string& name, const std::vector<int>& weights) : name_(name) {
    for (const int weight : weights) AddDestination(weight);
    Reconfigure();
  }

  // D<n>, n counting from 1 over all that were ever added.
  int Add(int weight) {
    AddDestination(weight);
    Reconfigure();
    return static_cast<int>(loads_.size());
  }
  void Delete(int d) {
    std::erase_if(candidates_, [d](const Candidate& c) { return c.ordinal == static_cast<uint32_t>(d); });
    Reconfigure();
  }
  void SetWeight(int d, int weight) {
    for (Candidate& candidate : candidates_) {
      if (candidate.ordinal == static_cast<uint32_t>(d)) candidate.weight = weight;
    }
    Reconfigure();
  }
  DestinationLoad& Load(int d) { return loads_[d - 1]; }

  // The destinations of `count` new connections that stay in SYN_RECV, "3 2 1 -".
  std::string Picks(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      const int chosen = scheduler_->Pick(FlowKey{}, current_);
      if (!text.empty()) text += ' ';
      if (chosen == kNoCandidate) {
        text += '-';
        continue;
      }
      const int d = static_cast<int>(current_[chosen].ordinal);
      Load(d).active.fetch_add(1);
      Load(d).total.fetch_add(1);
      text += std::to_string(d);
    }
    return text;
  }
  Scheduler& scheduler() { return *scheduler_; }
  const std::vector<Candidate>& candidates() const { return current_; }

 private:
  void AddDestination(int weight) {
    loads_.emplace_back();
    const auto d = static_cast<uint32_t>(loads_.size());
    candidates_.insert(
        candidates_.begin(),
        Candidate{.weight = weight, .last_weight = weight, .ordinal = d, .id = d, .load = &loads_.back()});
  }
  void Reconfigure() {
    const std::vector<Candidate> next = candidates_;
    auto scheduler = FindScheduler(name_)({next, {}});
    if (scheduler_ != nullptr) scheduler->Inherit(*scheduler_);
    scheduler_ = std::move(scheduler);
    current_ = next;
  }

  std::string name_;
  std::deque<DestinationLoad> loads_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> current_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace sluice
