// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/worker_loop.h"

#include <poll.h>
#include <rte_ethdev.h>
#include <time.h>

#include <algorithm>

namespace sluice {
namespace {

// Rounds without work before a worker sleeps: some tens of microseconds of polling, so that it stays awake
// between the packets of a busy flow.
constexpr int kIdleRoundsBeforeSleep = 200;
// A sleeping worker is woken by packets at once; this bounds how late its timers and heartbeat are. It must
// stay well below the heartbeat limit.
constexpr int kLongestSleepMs = 20;
constexpr int kSendTries = 4;
// What peers give must not keep a worker from its own queues for longer than those hold packets: they have
// room for a thousand and more.
constexpr int kMostPeerBursts = 32;
// Once stopped, a worker goes on until its queues are empty, but not for ever: nobody steers to it any more.
constexpr int kDrainRounds = 10'000;

uint64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

WorkerLoop::WorkerLoop(const Setup& setup, Worker& worker)
    : setup_(setup), worker_(worker), heartbeat_(setup.heartbeat) {}

void WorkerLoop::Run() {
  int idle_rounds = 0;
  setup_.grace_period->Online(worker_.index);
  int rounds_left = kDrainRounds;
  bool busy = true;
  while (!stop_.load(std::memory_order_relaxed) || (busy && --rounds_left > 0)) {
    ReadClock(busy);
    UsePorts();
    worker_.Use(setup_.snapshot->Get(), setup_.forwarding->Get());
    if (setup_.sync_policy != nullptr) worker_.sync = setup_.sync_policy->load(std::memory_order_relaxed);
    if (setup_.sync_listener != nullptr)
      worker_.sync_listener = setup_.sync_listener->load(std::memory_order_acquire);
    busy = ReceiveAll();
    busy |= TakeFromPeers();
    busy |= SendForKernel();
    busy |= KeepHouse(worker_) > 0;
    AnswerQuestions();
    setup_.grace_period->Quiescent(worker_.index);
    idle_rounds = busy ? 0 : idle_rounds + 1;
    if (setup_.may_sleep && idle_rounds > kIdleRoundsBeforeSleep) Sleep();
  }
  setup_.grace_period->Offline(worker_.index);
}

void WorkerLoop::ReadClock(bool was_busy) {
  const uint64_t now_ns = setup_.clock->Nanoseconds();
  worker_.now = Clock::ToJiffies(now_ns);
  WorkerLoad& load = worker_.load;
  const uint64_t last = load.last_round.load(std::memory_order_relaxed);
  WorkerLoad::Add(load.rounds, 1);
  if (was_busy && last != 0) WorkerLoad::Add(load.busy_nanoseconds, now_ns - last);
  load.last_round.store(now_ns, std::memory_order_relaxed);
  const auto lag = static_cast<int32_t>(worker_.now - worker_.wheel.LookedAtUntil());
  load.timer_lag.store(lag > 0 ? static_cast<uint32_t>(lag) : 0, std::memory_order_relaxed);
  if (worker_.openings.Tick(now_ns)) heartbeat_.SetOpenings(worker_.openings.allowed());
  if (setup_.steers != nullptr && !setup_.steers->load(std::memory_order_relaxed)) {
    heartbeat_.Stop();
  } else {
    heartbeat_.Beat(now_ns, MonotonicNs);
  }
}

// Interfaces come and go between rounds.
void WorkerLoop::UsePorts() {
  const PortTable& table = setup_.ports->Get();
  ports_ = &table.workers[static_cast<size_t>(worker_.index)];
  if (table.generation == ports_generation_) return;
  ports_generation_ = table.generation;
  // The vector has its size already, so nothing is allocated.
  std::copy(table.macs.begin(), table.macs.begin() + static_cast<ptrdiff_t>(worker_.port_macs.size()),
            worker_.port_macs.begin());
}

bool WorkerLoop::ReceiveAll() {
  bool any = false;
  for (const PortQueue& queue : ports_->receive) {
    const uint16_t count = rte_eth_rx_burst(queue.dpdk_port, queue.queue, batch_.packet, kBurst);
    if (count == 0) continue;
    any = true;
    batch_.count = count;
    batch_.from_peer = false;
    worker_.counters.Add(Counter::kReceived, count);
    worker_.openings.NoteBurst(count, count == kBurst);
    Process();
  }
  return any;
}

// As many bursts as peers may have given in a round of theirs: whatever waits longer is lost in the end,
// after the work was spent.
bool WorkerLoop::TakeFromPeers() {
  const int queues = std::max(static_cast<int>(ports_->receive.size()), 1);
  const int most = std::min((worker_.workers - 1) * queues, kMostPeerBursts);
  for (int bursts = 0; bursts < most; ++bursts) {
    const int count = setup_.handoff->Take(worker_.index, batch_.packet, kBurst);
    if (count == 0) return bursts > 0;
    // The other worker has had them last.
    for (int i = 0; i < count; ++i) __builtin_prefetch(batch_.packet[i]);
    batch_.count = count;
    batch_.from_peer = true;
    worker_.counters.Add(Counter::kPeerTaken, static_cast<uint64_t>(count));
    Process();
  }
  return most > 0;
}

bool WorkerLoop::SendForKernel() {
  bool any = false;
  for (const int port : setup_.dedicated_ports) {
    PacketList list;
    list.count = setup_.kernel_port->TakeFromKernel(port, list.packets, kBurst);
    if (list.count == 0) continue;
    any = true;
    worker_.counters.Add(Counter::kFromKernel, static_cast<uint64_t>(list.count));
    SendWire(static_cast<size_t>(port), list);
  }
  return any;
}

void WorkerLoop::Process() {
  WorkerLoad::Add(worker_.load.bursts, 1);
  do {
    ProcessBurst(worker_, batch_);
    Flush();
  } while (TakeReleased(worker_, batch_));
}

void WorkerLoop::Flush() {
  Output& output = worker_.output;
  for (size_t port = 0; port < ports_->transmit.size(); ++port) {
    if (output.wire[port].count > 0) SendWire(port, output.wire[port]);
  }
  SendPieces();
  int kernel_drops = 0;
  for (int i = 0; i < kKernelClasses; ++i) {
    PacketList& list = output.kernel_input[static_cast<size_t>(i)];
    if (list.count == 0) continue;
    kernel_drops += setup_.kernel_port->GiveInput(static_cast<KernelClass>(i), list.packets, list.count);
    list.count = 0;
  }
  if (PacketList& list = output.kernel_output; list.count > 0) {
    kernel_drops += setup_.kernel_port->GiveOutput(list.packets, list.count);
    list.count = 0;
  }
  if (kernel_drops > 0) worker_.counters.Add(Counter::kDropKernelFull, static_cast<uint64_t>(kernel_drops));
  if (worker_.workers == 1) return;
  for (int peer = 0; peer < worker_.workers; ++peer) HandOver(peer);
}

void WorkerLoop::HandOver(int peer) {
  const auto settle = [&](PacketList& list, int given, Counter refusal) {
    worker_.counters.Add(Counter::kPeerGiven, static_cast<uint64_t>(given));
    if (given < list.count) {
      rte_pktmbuf_free_bulk(list.packets + given, static_cast<unsigned>(list.count - given));
      worker_.counters.Add(refusal, static_cast<uint64_t>(list.count - given));
    }
    list.count = 0;
  };
  if (PacketList& list = worker_.output.peers[peer]; list.count > 0)
    settle(list, setup_.handoff->Give(peer, list.packets, list.count), Counter::kDropPeerFull);
  if (PacketList& list = worker_.output.peer_openings[peer]; list.count > 0)
    settle(list, setup_.handoff->GiveOpenings(peer, list.packets, list.count), Counter::kDropPeerOpening);
}

void WorkerLoop::SendPieces() {
  Output& output = worker_.output;
  for (int at = 0; at < output.piece_count;) {
    PacketList list;
    const uint16_t port = output.piece_ports[at];
    while (at < output.piece_count && output.piece_ports[at] == port && list.count < kBurst)
      list.Add(output.pieces[at++]);
    SendWire(port, list);
  }
  output.piece_count = 0;
}

void WorkerLoop::SendWire(size_t port, PacketList& list) {
  const PortQueue& queue = ports_->transmit[port];
  const auto count = static_cast<uint16_t>(list.count);
  if (queue.dpdk_port == kNoDevice) {
    rte_pktmbuf_free_bulk(list.packets, count);
    worker_.counters.Add(Counter::kDropPortGone, count);
    list.count = 0;
    return;
  }
  uint16_t sent = 0;
  for (int tries = 0; tries < kSendTries && sent < count; ++tries) {
    sent += rte_eth_tx_burst(queue.dpdk_port, queue.queue, list.packets + sent, count - sent);
  }
  worker_.counters.Add(Counter::kSent, sent);
  if (sent == 0) worker_.counters.Add(Counter::kPortStalled, 1);
  if (sent < count) {
    rte_pktmbuf_free_bulk(list.packets + sent, count - sent);
    worker_.counters.Add(Counter::kDropPortFull, count - sent);
  }
  list.count = 0;
}

void WorkerLoop::Ask(Question* question) {
  question_.store(question, std::memory_order_release);
  setup_.handoff->Wake(worker_.index);
}

void WorkerLoop::AnswerQuestions() {
  Question* question = question_.load(std::memory_order_acquire);
  if (question == nullptr) return;
  question_.store(nullptr, std::memory_order_relaxed);
  question->Answer(worker_);
  question->answered.store(true, std::memory_order_release);
}

void WorkerLoop::Sleep() {
  if (!setup_.handoff->FallAsleep(worker_.index)) return;
  if (question_.load() == nullptr) {
    pollfd polled[64] = {{setup_.handoff->wake_fd(worker_.index), POLLIN, 0}};
    nfds_t count = 1;
    for (const PortQueue& queue : ports_->receive) polled[count++] = {queue.socket, POLLIN, 0};
    setup_.grace_period->Offline(worker_.index);
    poll(polled, count, kLongestSleepMs);
    setup_.grace_period->Online(worker_.index);
  }
  setup_.handoff->StandUp(worker_.index);
}

}  // namespace sluice
