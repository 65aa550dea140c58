// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/life.h"

#include <algorithm>

namespace sluice::fuzz {
namespace {

// Small tables most of the time, so that they are full.
Workers::Options AnyOptions(Dice& dice) {
  const int workers = dice.Any({1, 2, 2, 3});
  return {.workers = workers,
          .connection_capacity = 8u << dice.Below(7),
          .template_capacity = 1u << dice.Below(8)};
}

}  // namespace

Life::Life(uint32_t seed, const std::set<std::string>& known)
    : dice_(seed), workers_(AnyOptions(dice_)), flows_(workers_.workers.size()), complaints_(known) {
  const ForwardingSpec spec = ConfigurationGrammar::PlainForwarding();
  book_.SetForwarding(spec);
  workers_.SetForwarding(spec);
  ChangeGlobal();
  for (int i = 0; i < 3; ++i) ChangeService();
}

void Life::Run() {
  for (int i = 0; i < kSteps && complaints_.empty(); ++i) {
    Step();
    if (complaints_.empty()) CheckAll();
  }
  if (complaints_.empty()) End();
}

void Life::Step() {
  switch (dice_.Below(17)) {
    case 0: return ChangeService();
    case 1: return ChangeGlobal();
    case 2: return ChangeForwarding();
    case 3: return Wait();
    case 4: return HandOver();
    case 5: return TellOthers();
    default: return Receive();
  }
}

void Life::Publish() {
  workers_.Publish();
  book_.Learn(*workers_.snapshot);
}

void Life::ChangeGlobal() {
  const GlobalSpec global = configuration_.AnyGlobal();
  book_.SetGlobal(global);
  workers_.snapshots.SetGlobal(global);
  Publish();
}

void Life::ChangeService() {
  if (dice_.OneIn(6)) {
    workers_.snapshots.Delete(configuration_.AnyKey());
  } else {
    workers_.snapshots.Put(configuration_.AnyService());
  }
  Publish();
}

// Another balancer is told of connections, or no longer.
void Life::TellOthers() {
  using Which = SyncPolicy::Which;
  for (auto& worker : workers_.workers) {
    worker->sync = {.packets = 1 + dice_.Below(4),
                    .seconds = static_cast<uint16_t>(1 + dice_.Below(20)),
                    .which = dice_.Any({Which::kNone, Which::kAll, Which::kPackets, Which::kLong}),
                    .half_open = dice_.OneIn(2)};
  }
}

void Life::ChangeForwarding() {
  const ForwardingSpec spec =
      dice_.OneIn(3) ? ConfigurationGrammar::PlainForwarding() : configuration_.AnyForwarding();
  book_.SetForwarding(spec);
  workers_.SetForwarding(spec);
  book_.Learn(*workers_.snapshot);
}

void Life::Wait() {
  workers_.Advance(dice_.OneIn(6) ? dice_.Below(400) : dice_.Below(8) * 0.4);
  KeepTime(1);
}

void Life::KeepTime(int seconds) {
  time_ += std::chrono::seconds(seconds);
  workers_.snapshots.EndDrains(time_);
  workers_.snapshots.EmptyTrash(time_);
}

std::vector<Flow> Life::AllFlows() const {
  std::vector<Flow> all;
  for (const auto& flows : flows_) all.insert(all.end(), flows.begin(), flows.end());
  return all;
}

void Life::Receive() {
  const int worker = static_cast<int>(dice_.Below(static_cast<uint32_t>(workers_.count())));
  const std::vector<Flow> flows = AllFlows();
  const size_t wanted = dice_.OneIn(3) ? 1 : 1 + dice_.Below(kBurst);
  std::vector<Arrival> arrivals;
  while (arrivals.size() < wanted) {
    for (Arrival& each : grammar_.Next(flows)) arrivals.push_back(std::move(each));
  }
  arrivals.resize(std::min<size_t>(arrivals.size(), kBurst));
  packets_ += arrivals.size();
  workers_.Receive(worker, arrivals, [&](const Burst& burst) { See(worker, burst); });
  if (dice_.OneIn(2)) HandOver();
}

void Life::HandOver() {
  for (int worker = 0; worker < workers_.count(); ++worker) {
    while (workers_.TakeFromPeers(worker, [&](const Burst& burst) { See(worker, burst); })) {
    }
  }
}

void Life::See(int worker, const Burst& burst) {
  CheckVerdicts(burst, complaints_);
  const std::vector<Flow> before = std::move(flows_[worker]);
  flows_[worker] = FlowsOf(*workers_.workers[worker]);
  CheckEvictions(burst, before.size(), complaints_);
  CheckNewFlows(before, flows_[worker], book_, complaints_);
  CheckDepartures(burst, flows_[worker], book_, complaints_);
  for (const Departure& each : burst.departures) {
    if (each.verdict == Verdict::kWire && dice_.OneIn(4)) grammar_.Remember(each.frame);
  }
}

void Life::CheckAll() {
  for (int i = 0; i < workers_.count(); ++i) flows_[i] = FlowsOf(*workers_.workers[i]);
  CheckBalance(workers_, flows_, complaints_);
}

// All services go, and so much time that everything they had is over.
void Life::End() {
  HandOver();
  std::vector<ServiceKey> keys;
  for (const auto& service : workers_.snapshot->services.All()) keys.push_back(service->spec.key);
  for (const ServiceKey& key : keys) workers_.snapshots.Delete(key);
  workers_.snapshots.SetGlobal({});
  Publish();
  for (int i = 0; i < 8; ++i) {
    workers_.Advance(2000);
    KeepTime(200);
  }
  for (int i = 0; i < 3; ++i) Publish();
  CheckAll();
  CheckNothingIsLeft(workers_, complaints_);
}

}  // namespace sluice::fuzz
