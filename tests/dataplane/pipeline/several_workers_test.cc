// Several workers at once on one configuration: what they share is exact.
#include <gtest/gtest.h>

#include <cstring>
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

  void Serve(const std::string& scheduler) {
    ServiceSpec spec{{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}, scheduler, {}, {}};
    for (int i = 1; i <= 3; ++i)
      spec.destinations.push_back(PipelineRig::Server("10.1.0." + std::to_string(i), 80));
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
    for (const Candidate& candidate : snapshot_->services[0]->candidates)
      totals.push_back(candidate.load->Total());
    return totals;
  }

  DestinationTable destinations_;
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

TEST_F(SeveralWorkersTest, WlcStaysLevel) {
  Serve("wlc");
  OpenConnections();
  constexpr int kEach = kWorkers * kBursts * kBurst / 3;
  // As in the kernel, a pick may be a few others' picks old: every worker has one in flight.
  for (const int total : Totals()) EXPECT_NEAR(total, kEach, 2 * kWorkers);
}

}  // namespace
}  // namespace sluice
