// A life: from the first configuration to the last connection, all of it from one seed.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/fuzz/pipeline_fuzz/complaints.h"
#include "tests/fuzz/pipeline_fuzz/configuration.h"
#include "tests/fuzz/pipeline_fuzz/invariants.h"
#include "tests/fuzz/pipeline_fuzz/packets.h"

namespace sluice::fuzz {

class Life {
 public:
  // `known`: invariants that are not looked at.
  Life(uint32_t seed, const std::set<std::string>& known);

  // Goes on until something is wrong, or all is over.
  void Run();
  const Complaints& complaints() const { return complaints_; }
  uint64_t packets() const { return packets_; }

 private:
  void Step();
  void ChangeGlobal();
  void ChangeService();
  void ChangeForwarding();
  void TellOthers();
  void Wait();
  void Receive();
  void HandOver();
  void See(int worker, const Burst& burst);
  void Publish();
  void KeepTime(int seconds);
  void CheckAll();
  void End();
  std::vector<Flow> AllFlows() const;

  static constexpr int kSteps = 150;
  Dice dice_;
  ConfigurationGrammar configuration_{dice_};
  PacketGrammar grammar_{dice_};
  Workers workers_;
  Book book_;
  std::vector<std::vector<Flow>> flows_;  // by worker
  Complaints complaints_;
  SnapshotBuilder::Clock::time_point time_{};
  uint64_t packets_ = 0;
};

}  // namespace sluice::fuzz
