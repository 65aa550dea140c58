// Several workers: every flow has one owner, whichever worker its packets meet.
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class HandoverTest : public testing::Test {
 protected:
  static constexpr int kWorkers = 4;
  HandoverTest() {
    for (int i = 0; i < kWorkers; ++i) {
      rigs_.push_back(std::make_unique<PipelineRig>(PipelineRig::Options{.index = i, .workers = kWorkers}));
      rigs_.back()->AddService("10.99.0.1", 80, Protocol::kTcp, "rr",
                               {PipelineRig::Server("10.1.0.1", 8080)});
    }
  }
  std::vector<std::unique_ptr<PipelineRig>> rigs_;
};

TEST_F(HandoverTest, BothDirectionsHaveTheSameOwner) {
  std::vector<int> owned(kWorkers);
  for (uint16_t port = 1000; port < 1400; ++port) {
    const Packet in = Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(kTcpSyn);
    const Packet out = Packet().From("10.1.0.1", 8080).To("10.0.0.1", port).Tcp(kTcpSyn | kTcpAck);
    std::string owner;
    for (int i = 0; i < kWorkers; ++i) {
      const std::string where = rigs_[i]->Send(in).where;
      if (where == "wire 1") {
        EXPECT_EQ(owner, "") << "two owners";
        owner = "peer " + std::to_string(i);
        ++owned[i];
      }
    }
    ASSERT_NE(owner, "");
    for (int i = 0; i < kWorkers; ++i) {
      const std::string where = rigs_[i]->Send(out, 1).where;
      EXPECT_EQ(where, "peer " + std::to_string(i) == owner ? "wire 0" : owner);
    }
  }
  for (const int flows : owned) EXPECT_NEAR(flows, 100, 45);
}

TEST_F(HandoverTest, WhatWasHandedOverIsNotHandedOnAgain) {
  for (uint16_t port = 1000; port < 1100; ++port) {
    Batch batch;
    rte_mbuf* packet = rte_pktmbuf_alloc(rte_mempool_lookup("test"));
    const FrameBytes frame = Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(kTcpSyn).Bytes();
    std::copy(frame.begin(), frame.end(),
              reinterpret_cast<uint8_t*>(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size()))));
    packet->port = 0;
    batch.count = 1;
    batch.packet[0] = packet;
    batch.from_peer = true;
    Worker& worker = *rigs_[0]->worker;
    ProcessBurst(worker, batch);
    ASSERT_EQ(worker.output.wire[1].count, 1);
    worker.output.wire[1].count = 0;
    rte_pktmbuf_free(packet);
  }
}

TEST_F(HandoverTest, WhatIsNobodysFlowStaysHere) {
  EXPECT_EQ(rigs_[1]->Send(Packet().From("10.0.0.1", 1000).To("10.99.0.1", 81).Tcp(kTcpSyn)).where,
            "kernel input");
}

}  // namespace
}  // namespace sluice
