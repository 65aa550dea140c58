// Several workers at once on one configuration: what they share is exact.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <thread>

#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class SeveralWorkersTest : public testing::Test {
 protected:
  static constexpr int kWorkers = 4;
  static constexpr int kBursts = 150;

  SeveralWorkersTest() {
    StartEalForTest();
    forwarding_ = forwardings_.Build(PipelineRig::DefaultForwarding());
  }

  void Serve(const std::string& scheduler, const std::vector<int>& weights = {1, 1, 1},
             const PersistenceSpec& persistence = {}) {
    ServiceSpec spec{.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
                     .scheduler = scheduler,
                     .persistence = persistence};
    for (size_t i = 0; i < weights.size(); ++i) {
      spec.destinations.push_back(PipelineRig::Server("10.1.0." + std::to_string(i + 1), 80, weights[i]));
    }
    snapshots_.Put(spec);
    snapshot_ = snapshots_.Build();
    snapshots_.Published();
  }

  // Every worker opens connections of its own, bursts of new clients, and closes none.
  void OpenConnections() {
    std::vector<std::thread> threads;
    for (int index = 0; index < kWorkers; ++index) {
      workers_.push_back(std::make_unique<Worker>(Worker::Setup{.index = 0,
                                                                .connection_capacity = kBursts * kBurst,
                                                                .secret = HashSecret::Random(),
                                                                .destinations = &destinations_,
                                                                .persistence = &persistence_,
                                                                .port_macs = {kMacOfSluice}}));
      workers_.back()->Use(*snapshot_, *forwarding_);
      // The packets of a burst are used again: pools are not what is tested.
      auto batch = std::make_shared<Batch>();
      for (rte_mbuf*& packet : batch->packet) packet = rte_pktmbuf_alloc(PacketPoolForTest());
      threads.emplace_back(
          [worker = workers_.back().get(), batch, index] { SendBursts(*worker, *batch, index); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  static void SendBursts(Worker& worker, Batch& batch, int index) {
    for (int burst = 0; burst < kBursts; ++burst) {
      batch.count = kBurst;
      batch.from_peer = false;
      for (int lane = 0; lane < kBurst; ++lane) {
        const std::string client = "10.0." + std::to_string(index) + "." + std::to_string(lane + 1);
        const FrameBytes frame = Packet()
                                     .From(client, static_cast<uint16_t>(1000 + burst))
                                     .To("10.99.0.1", 80)
                                     .Tcp(kTcpSyn)
                                     .Bytes();
        rte_mbuf* packet = batch.packet[lane];
        packet->port = 0;
        packet->data_len = static_cast<uint16_t>(frame.size());
        packet->pkt_len = static_cast<uint32_t>(frame.size());
        std::memcpy(rte_pktmbuf_mtod(packet, uint8_t*), frame.data(), frame.size());
      }
      ProcessBurst(worker, batch);
      worker.output.wire[1].count = 0;
    }
  }

  std::vector<int> Totals() const {
    std::vector<int> totals;
    for (const Candidate& candidate : snapshot_->services.All()[0]->candidates)
      totals.push_back(candidate.load->Total());
    return totals;
  }

  DestinationTable destinations_;
  PersistenceTable persistence_{1 << 16, HashSecret::Random(), 0, destinations_};
  SnapshotBuilder snapshots_{destinations_};
  ForwardingBuilder forwardings_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::shared_ptr<const Forwarding> forwarding_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(SeveralWorkersTest, RrSpreadsExactly) {
  Serve("rr");
  OpenConnections();
  constexpr int kEach = kWorkers * kBursts * kBurst / 3;
  EXPECT_EQ(Totals(), (std::vector<int>{kEach, kEach, kEach}));
}

TEST_F(SeveralWorkersTest, WrrSpreadsExactlyByWeight) {
  Serve("wrr", {1, 2, 3});
  OpenConnections();
  constexpr int kShare = kWorkers * kBursts * kBurst / 6;
  // The level at which the walk begins may be any: a round too few or too many.
  const std::vector<int> totals = Totals();  // the newest first
  EXPECT_NEAR(totals[0], 3 * kShare, 3);
  EXPECT_NEAR(totals[1], 2 * kShare, 3);
  EXPECT_NEAR(totals[2], kShare, 3);
}

// As in the kernel, a pick may be a few others' picks old: every worker has one in flight.
TEST_F(SeveralWorkersTest, LeastConnectionSchedulersStayLevel) {
  for (const char* scheduler : {"lc", "wlc", "sed", "nq"}) {
    SCOPED_TRACE(scheduler);
    const std::vector<int> before = snapshot_ == nullptr ? std::vector<int>(3) : Totals();
    Serve(scheduler);
    OpenConnections();
    constexpr int kEach = kWorkers * kBursts * kBurst / 3;
    const std::vector<int> after = Totals();
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(after[i] - before[i], kEach, 4 * kWorkers);
  }
}

// A client's connections are on several workers, its template is one.
TEST_F(SeveralWorkersTest, AClientStaysWithItsServerOnEveryWorker) {
  Serve("rr", {1, 1, 1}, {.timeout_seconds = 100, .prefix_length = 16});  // 10.0/16: all of them
  OpenConnections();
  EXPECT_EQ(persistence_.size(), 1u);
  const std::vector<int> totals = Totals();
  EXPECT_EQ(std::count(totals.begin(), totals.end(), kWorkers * kBursts * kBurst), 1);
  EXPECT_EQ(std::count(totals.begin(), totals.end(), 0), 2);
}

TEST_F(SeveralWorkersTest, ManyTemplatesAtOnce) {
  Serve("rr", {1, 1, 1}, {.timeout_seconds = 100, .prefix_length = 32});
  OpenConnections();
  EXPECT_EQ(persistence_.size(), static_cast<uint32_t>(kWorkers * kBurst)) << "one for each client";
  int held = 0;
  persistence_.ForEach([&](const Template& each) { held += static_cast<int>(each.children); });
  EXPECT_EQ(held, kWorkers * kBursts * kBurst);
}

TEST_F(SeveralWorkersTest, LocalityAndHashSchedulersBearIt) {
  for (const char* scheduler : {"lblc", "lblcr", "sh", "dh", "mh", "twos", "fo"}) {
    SCOPED_TRACE(scheduler);
    int before = 0;
    if (snapshot_ != nullptr) {
      for (const int total : Totals()) before += total;
    }
    Serve(scheduler);
    OpenConnections();
    int after = 0;
    for (const int total : Totals()) after += total;
    EXPECT_EQ(after - before, kWorkers * kBursts * kBurst) << "nobody was refused";
  }
}

// Where tunnels are fragmented on their way, packets of two workers must not have one identification.
TEST(SeveralWorkersIdentificationTest, NoTwoWorkersGiveTheSame) {
  for (const int workers : {1, 2, 3, 8}) {
    std::set<uint16_t> given;
    const uint32_t of_each = 65536 / std::bit_ceil(static_cast<uint32_t>(workers));
    for (int index = 0; index < workers; ++index) {
      PipelineRig rig({.connection_capacity = 16, .index = index, .workers = workers});
      for (uint32_t i = 0; i < of_each; ++i) given.insert(rig.worker->NextIdentification());
    }
    EXPECT_EQ(given.size(), of_each * static_cast<uint32_t>(workers));
  }
}

}  // namespace
}  // namespace sluice
