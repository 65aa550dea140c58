// A service's destinations as a scheduler sees them, for tests: D1, D2 ... as ipvs-semantics names them,
// added in this order, so that the list order is the reverse. Dn is 10.0.1.n:80.
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
  SchedulerRig(const std::string& name, const std::vector<int>& weights, const SchedulerFlags& flags = {},
               const std::string& prefix = "10.0.1.")
      : name_(name), flags_(flags), prefix_(prefix) {
    Reconfigure();
    for (const int weight : weights) Add(weight);
  }

  // D<n>, n counting from 1 over all that were ever added.
  int Add(int weight) {
    loads_.emplace_back();
    const auto d = static_cast<uint32_t>(loads_.size());
    candidates_.insert(candidates_.begin(),
                       Candidate{.address = IpAddress::Parse(prefix_ + std::to_string(d)).value(),
                                 .port = Be16::FromHost(80),
                                 .weight = weight,
                                 .last_weight = weight,
                                 .ordinal = d,
                                 .id = d,
                                 .load = &loads_.back(),
                                 .group = &groups_[d / LoadGroup::kSize],
                                 .bit = static_cast<uint8_t>(d % LoadGroup::kSize)});
    Reconfigure();
    return static_cast<int>(d);
  }
  void Delete(int d) {
    std::erase_if(candidates_, [d](const Candidate& c) { return c.ordinal == static_cast<uint32_t>(d); });
    Reconfigure();
  }
  void SetWeight(int d, int weight) {
    for (Candidate& candidate : candidates_) {
      if (candidate.ordinal != static_cast<uint32_t>(d)) continue;
      candidate.weight = weight;
      if (weight != 0) candidate.last_weight = weight;
    }
    Reconfigure();
  }
  const DestinationLoad& Load(int d) const { return loads_[d - 1]; }
  void SetLoad(int d, uint32_t active, uint32_t total) {
    loads_[d - 1].connections = active * DestinationLoad::kOneActive + total;
  }
  void SetOverloaded(int d, bool to) {
    groups_[d / LoadGroup::kSize].SetOverloaded(d % LoadGroup::kSize, to);
  }

  // The destinations of `count` new connections that stay in SYN_RECV, "3 2 1 -".
  std::string Picks(int count, const FlowKey& flow = {}) {
    std::string text;
    for (int i = 0; i < count; ++i) Append(text, PickOne(flow));
    return text;
  }
  // The destination of one new connection, which stays; 0: none.
  int PickOne(const FlowKey& flow) {
    const int chosen = scheduler_->Pick(flow, *current_);
    if (chosen == kNoCandidate) return 0;
    const int d = static_cast<int>((*current_)[chosen].ordinal);
    loads_[d - 1].connections += DestinationLoad::kOne + DestinationLoad::kOneActive;
    return d;
  }
  int ForeseeOne(const FlowKey& flow) {
    const int chosen = scheduler_->Foresee(flow, *current_);
    return chosen == kNoCandidate ? 0 : static_cast<int>((*current_)[chosen].ordinal);
  }
  // One new connection from each of these clients, from ports 5000, 5001 ...
  std::string PicksFrom(const std::vector<std::string>& clients) {
    std::string text;
    for (size_t i = 0; i < clients.size(); ++i) {
      FlowKey flow;
      flow.source = IpAddress::Parse(clients[i]).value();
      flow.source_port = Be16::FromHost(static_cast<uint16_t>(5000 + i));
      Append(text, PickOne(flow));
    }
    return text;
  }

  Scheduler& scheduler() { return *scheduler_; }
  const std::vector<Candidate>& candidates() const { return *current_; }

 private:
  static void Append(std::string& text, int d) {
    if (!text.empty()) text += ' ';
    text += d == 0 ? "-" : std::to_string(d);
  }

  void Reconfigure() {
    const auto next = std::make_shared<const std::vector<Candidate>>(candidates_);
    auto scheduler = FindScheduler(name_)({*next, flags_});
    if (scheduler_ != nullptr) scheduler->Inherit(*scheduler_);
    scheduler_ = std::move(scheduler);
    current_ = next;
  }

  const std::string name_;
  const SchedulerFlags flags_;
  const std::string prefix_;
  std::deque<DestinationLoad> loads_;
  std::vector<LoadGroup> groups_ = std::vector<LoadGroup>(64);
  std::vector<Candidate> candidates_;
  std::shared_ptr<const std::vector<Candidate>> current_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace sluice
