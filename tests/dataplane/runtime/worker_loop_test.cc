// The loop of a worker between devices that are made of memory: what it does when what is around it stands
// still.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/worker_loop.h"

#include <gtest/gtest.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr int kAcross = 32;

// A device whose receive queue is its transmit queue: what the test puts into one the loop takes out of it,
// and what the loop puts into another stays there until the test takes it.
class Loopback {
 public:
  explicit Loopback(const std::string& name) : name_(name) {
    StartEalForTest();
    rte_eal_hotplug_add("vdev", name.c_str(), "");
    rte_eth_dev_get_port_by_name(name.c_str(), &id_);
    const rte_eth_conf configuration{};
    rte_eth_dev_configure(id_, 1, 1, &configuration);
    rte_eth_rx_queue_setup(id_, 0, 0, SOCKET_ID_ANY, nullptr, PacketPoolForTest());
    rte_eth_tx_queue_setup(id_, 0, 0, SOCKET_ID_ANY, nullptr);
    rte_eth_dev_start(id_);
  }
  ~Loopback() {
    Empty();
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
    rte_eal_hotplug_remove("vdev", name_.c_str());
  }

  PortQueue queue() const { return {.dpdk_port = id_, .queue = 0}; }
  bool Put(const FrameBytes& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(PacketPoolForTest());
    if (packet == nullptr) return false;
    packet->port = 0;
    std::copy(frame.begin(), frame.end(), rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())));
    if (rte_eth_tx_burst(id_, 0, &packet, 1) == 1) return true;
    rte_pktmbuf_free(packet);
    return false;
  }
  int Take() {
    rte_mbuf* packets[kAcross];
    const uint16_t count = rte_eth_rx_burst(id_, 0, packets, kAcross);
    rte_pktmbuf_free_bulk(packets, count);
    return count;
  }
  void Empty() {
    while (Take() > 0) {
    }
  }

 private:
  std::string name_;
  uint16_t id_ = 0;
};

class WorkerLoopTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "packets pass a ring in DPDK's library, which ThreadSanitizer does not see into";
#endif
  }
  void Prepare(int workers) {
    rig_ = std::make_unique<PipelineRig>(
        PipelineRig::Options{.connection_capacity = 1 << 14, .workers = workers});
    rig_->AddService("10.99.0.1", 80, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    snapshot_ = std::make_unique<Published<Snapshot>>(rig_->snapshot);
    forwarding_ = std::make_unique<Published<Forwarding>>(rig_->forwarding);
    grace_period_ = std::make_unique<GracePeriod>(workers);
    handoff_ = *Handoff::Create(workers);
    clock_ = std::make_unique<Clock>();
    ports_ = std::make_unique<Published<PortTable>>(Table(1, back_.queue(), servers_.queue()));
  }
  WorkerLoop::Setup LoopSetup() {
    return {.ports = ports_.get(),
            .snapshot = snapshot_.get(),
            .forwarding = forwarding_.get(),
            .grace_period = grace_period_.get(),
            .handoff = handoff_.get(),
            .clock = clock_.get()};
  }
  void Start(int workers) {
    Prepare(workers);
    loop_ = std::make_unique<WorkerLoop>(LoopSetup(), *rig_->worker);
    thread_ = std::thread([this] { loop_->Run(); });
  }
  std::shared_ptr<const PortTable> Table(uint64_t generation, PortQueue back, PortQueue servers) {
    auto table = std::make_shared<PortTable>();
    table->generation = generation;
    table->workers = {{.receive = {clients_.queue()}, .transmit = {back, servers}}};
    table->macs.assign(2, kMacOfSluice);
    return table;
  }
  void Replace(std::shared_ptr<const PortTable> table) {
    const auto before = ports_->Exchange(std::move(table));
    grace_period_->Wait();
  }
  void TearDown() override {
    if (loop_ == nullptr) return;
    loop_->Stop();
    if (thread_.joinable()) thread_.join();
    rte_mbuf* packets[kAcross];
    for (int worker = 0; worker < rig_->worker->workers; ++worker) {
      while (const int count = handoff_->Take(worker, packets, kAcross))
        rte_pktmbuf_free_bulk(packets, static_cast<unsigned>(count));
    }
    servers_.Empty();
    loop_.reset();
    rig_.reset();
    EXPECT_EQ(rte_mempool_in_use_count(PacketPoolForTest()), in_use_);
  }

  // Offers datagrams of many clients, and waits until the worker has dealt with them. Half a burst at a time:
  // nothing waits longer than it must, so that no opening is one too many (OpeningBudget).
  void Offer(int count) {
    for (int i = 0; i < count; ++i) {
      if (i % (kBurst / 2) == 0) {
        ASSERT_TRUE(WaitFor([&] { return Count(Counter::kReceived) >= offered_ + static_cast<uint64_t>(i); }));
      }
      const Packet packet =
          Packet()
              .Udp()
              .From("10.0.1." + std::to_string(i % 250 + 1), static_cast<uint16_t>(1024 + i))
              .To("10.99.0.1", 80);
      ASSERT_TRUE(WaitFor([&] { return clients_.Put(packet.Bytes()); }));
    }
    offered_ += static_cast<uint64_t>(count);
    ASSERT_TRUE(WaitFor([&] { return Count(Counter::kReceived) == offered_; }));
    // Counted when it is taken: it is through when the loop has come round.
    grace_period_->Wait();
  }
  template <class Condition>
  static bool WaitFor(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  uint64_t Count(Counter counter) const { return rig_->Count(counter); }

  Loopback clients_{"net_ring_clients"};
  Loopback servers_{"net_ring_servers"};
  Loopback back_{"net_ring_back"};
  unsigned in_use_ = rte_mempool_in_use_count(PacketPoolForTest());
  std::unique_ptr<PipelineRig> rig_;
  std::unique_ptr<Published<Snapshot>> snapshot_;
  std::unique_ptr<Published<Forwarding>> forwarding_;
  std::unique_ptr<GracePeriod> grace_period_;
  std::unique_ptr<Handoff> handoff_;
  std::unique_ptr<Published<PortTable>> ports_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<WorkerLoop> loop_;
  std::thread thread_;
  uint64_t offered_ = 0;
};

TEST_F(WorkerLoopTest, ATransmitQueueThatStandsStillCostsItsPacketsAndNoMore) {
  Start(1);
  Offer(1500);  // the device holds 1,023
  EXPECT_GT(Count(Counter::kPortStalled), 0);
  EXPECT_EQ(Count(Counter::kSent) + Count(Counter::kDropPortFull), 1500);
  EXPECT_GT(Count(Counter::kDropPortFull), 400);
  // Once it moves again, all is well.
  const uint64_t lost = Count(Counter::kDropPortFull);
  const uint64_t stalls = Count(Counter::kPortStalled);
  servers_.Empty();
  Offer(500);
  EXPECT_EQ(Count(Counter::kDropPortFull), lost);
  EXPECT_EQ(Count(Counter::kPortStalled), stalls);
}

// The interface goes, and another comes in its place.
TEST_F(WorkerLoopTest, APortThatGoesCostsItsPacketsAndComesBack) {
  Start(1);
  Offer(200);
  EXPECT_EQ(Count(Counter::kSent), 200);
  Replace(Table(2, back_.queue(), {.dpdk_port = kNoDevice}));
  servers_.Empty();
  Offer(300);
  EXPECT_EQ(Count(Counter::kSent), 200);
  EXPECT_EQ(Count(Counter::kDropPortGone), 300);
  EXPECT_EQ(servers_.Take(), 0);
  Replace(Table(3, back_.queue(), servers_.queue()));
  Offer(100);
  EXPECT_EQ(Count(Counter::kSent), 300);
  EXPECT_EQ(Count(Counter::kDropPortGone), 300);
}

TEST_F(WorkerLoopTest, APortWithAnotherMacAddress) {
  Start(1);
  auto changed = std::make_shared<PortTable>(*Table(2, back_.queue(), servers_.queue()));
  changed->macs.assign(2, kMacOfServer);
  Replace(changed);
  Offer(50);
  EXPECT_EQ(Count(Counter::kDropOtherHost), 50);
  Replace(Table(3, back_.queue(), servers_.queue()));
  Offer(50);
  EXPECT_EQ(Count(Counter::kDropOtherHost), 50);
}

TEST_F(WorkerLoopTest, APeerThatTakesNothingCostsItsPacketsAndNoMore) {
  Start(2);  // the other worker never runs
  for (int round = 0; round < 12; ++round) {
    Offer(500);
    servers_.Empty();
  }
  EXPECT_GT(Count(Counter::kDropPeerFull), 0);
  EXPECT_EQ(Count(Counter::kSent) + Count(Counter::kPeerGiven) + Count(Counter::kDropPeerFull), 6000);
  EXPECT_GT(Count(Counter::kSent), 2000);
}

// Three peers with two interfaces each may hand over six bursts in a round of theirs: what they gave is
// through when the packets of two full queues are, not long after, when the ring has overflown.
TEST_F(WorkerLoopTest, WhatPeersHandOverIsTakenInTime) {
  constexpr int kQueued = 960;
  constexpr int kHandedOver = 1920;
  Prepare(4);
  Loopback more_clients("net_ring_more");
  auto two_queues = std::make_shared<PortTable>(*Table(2, back_.queue(), servers_.queue()));
  two_queues->workers[0].receive.push_back(more_clients.queue());
  Replace(two_queues);
  const auto frame = [](int client) {
    return Packet()
        .Udp()
        .From("10.0.2." + std::to_string(client % 250 + 1), static_cast<uint16_t>(1024 + client))
        .To("10.99.0.1", 80)
        .Bytes();
  };
  for (int i = 0; i < kQueued; ++i) {
    ASSERT_TRUE(clients_.Put(frame(i)));
    ASSERT_TRUE(more_clients.Put(frame(i)));
  }
  for (int i = 0; i < kHandedOver; ++i) {
    rte_mbuf* packet = rte_pktmbuf_alloc(PacketPoolForTest());
    ASSERT_NE(packet, nullptr);
    const FrameBytes bytes = frame(5000 + i);
    packet->port = 0;
    std::copy(bytes.begin(), bytes.end(), rte_pktmbuf_append(packet, static_cast<uint16_t>(bytes.size())));
    ASSERT_EQ(handoff_->Give(0, &packet, 1), 1);
  }
  loop_ = std::make_unique<WorkerLoop>(LoopSetup(), *rig_->worker);
  loop_->Stop();  // it goes on until there is nothing left
  loop_->Run();
  EXPECT_EQ(Count(Counter::kReceived), 2 * kQueued);
  EXPECT_EQ(Count(Counter::kPeerTaken), kHandedOver);
  constexpr uint64_t kRoundsForQueues = kQueued / kBurst;
  EXPECT_LE(rig_->worker->load.rounds.load(), kRoundsForQueues + 3);
}

}  // namespace
}  // namespace sluice
