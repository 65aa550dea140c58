// What a worker thread does, round after round: take bursts from its queues and from other workers, run the
// pipeline, send what came out, expire connections, answer questions, and sleep when there is nothing.
// Threads: Run on the worker's lcore; Wake and Ask by any thread; Stop by the control thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/config/published.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/worker.h"
#include "dataplane/runtime/clock.h"
#include "dataplane/runtime/grace_period.h"
#include "dataplane/runtime/handoff.h"
#include "dataplane/runtime/heartbeat.h"
#include "dataplane/runtime/kernel_port.h"
#include "dataplane/runtime/port.h"
#include "dataplane/runtime/port_table.h"
#include "dataplane/runtime/question.h"

namespace sluice {

class WorkerLoop {
 public:
  struct Setup {
    const Published<PortTable>* ports = nullptr;
    std::vector<int> dedicated_ports;  // whose kernel twin's packets it sends
    const Published<Snapshot>* snapshot = nullptr;
    const Published<Forwarding>* forwarding = nullptr;
    const std::atomic<bool>* steers = nullptr;             // nullptr: always
    const std::atomic<SyncPolicy>* sync_policy = nullptr;  // nullptr: as the worker has it
    const std::atomic<SyncListener*>* sync_listener = nullptr;
    GracePeriod* grace_period = nullptr;
    Handoff* handoff = nullptr;
    KernelPort* kernel_port = nullptr;
    const Clock* clock = nullptr;
    sluice_heartbeat* heartbeat = nullptr;  // nullptr: no shared interface
    bool may_sleep = false;
  };
  WorkerLoop(const Setup& setup, Worker& worker);

  void Run();
  void Stop() { stop_.store(true, std::memory_order_relaxed); }
  // The worker answers within a few rounds.
  void Ask(Question* question);

 private:
  void UsePorts();
  void ReadClock(bool was_busy);
  bool ReceiveAll();
  bool TakeFromPeers();
  bool SendForKernel();
  void Process();
  void Flush();
  void HandOver(int peer);
  void SendPieces();
  void SendWire(size_t port, PacketList& list);
  void AnswerQuestions();
  void Sleep();

  const Setup setup_;
  Worker& worker_;
  Batch batch_;
  Heartbeat heartbeat_;
  const PortTable::OfWorker* ports_ = nullptr;  // of this round
  uint64_t ports_generation_ = 0;
  std::atomic<Question*> question_{nullptr};
  std::atomic<bool> stop_{false};
};

}  // namespace sluice
