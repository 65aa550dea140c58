// What happens to the connections of real servers that are drained or removed, where Sluice goes beyond IPVS:
// UDP flows are scheduled again, and a deadline can end connections. Also timeouts of one service.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class DrainTest : public testing::Test {
 protected:
  void Serve(std::vector<DestinationSpec> servers, uint32_t drain_seconds = 0,
             Protocol protocol = Protocol::kTcp, const PersistenceSpec& persistence = {}) {
    rig_.AddService({.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), protocol}},
                     .scheduler = "rr",
                     .destinations = std::move(servers),
                     .persistence = persistence,
                     .drain_seconds = drain_seconds});
  }
  Outcome FromClient(uint16_t port, uint8_t flags) {
    return rig_.Send(Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(flags).Payload("hello"));
  }
  Outcome FromServer(uint16_t port, uint8_t flags) {
    return rig_.Send(Packet().From("10.1.0.2", 80).To("10.0.0.1", port).Tcp(flags), 1);
  }
  int Datagram(uint16_t port) {
    const Outcome outcome = rig_.Send(Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Udp());
    return outcome.frame.empty() ? 0 : outcome.frame[33];
  }
  void Wait(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      now_ += std::chrono::seconds(1);
      rig_.snapshots.EndDrains(now_);
      rig_.Advance(1);
    }
  }

  PipelineRig rig_;
  SnapshotBuilder::Clock::time_point now_{};
  const DestinationSpec one_ = PipelineRig::Server("10.1.0.1", 80);
  const DestinationSpec two_ = PipelineRig::Server("10.1.0.2", 80);
  const DestinationSpec two_drained_ = PipelineRig::Server("10.1.0.2", 80, 0);
};

TEST_F(DrainTest, AUdpFlowOfARemovedServerIsScheduledAgainAndOthersAreLeftAlone) {
  Serve({one_, two_}, 0, Protocol::kUdp);
  ASSERT_EQ(Datagram(1000), 2);
  ASSERT_EQ(Datagram(1001), 1);
  Serve({one_}, 0, Protocol::kUdp);
  EXPECT_EQ(Datagram(1000), 1) << "with the very next packet";
  EXPECT_EQ(Datagram(1001), 1);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsRescheduled), 1u);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsCreated), 3u);
  Serve({one_, two_}, 0, Protocol::kUdp);
  EXPECT_EQ(Datagram(1000), 1) << "and stays";
}

TEST_F(DrainTest, ADrainedUdpFlowStaysUntilTheDeadline) {
  Serve({one_, two_}, 30, Protocol::kUdp);
  ASSERT_EQ(Datagram(1000), 2);
  Serve({one_, two_drained_}, 30, Protocol::kUdp);
  Wait(29);
  EXPECT_EQ(Datagram(1000), 2);
  Wait(3);
  EXPECT_EQ(Datagram(1000), 1);
}

TEST_F(DrainTest, AfterTheDeadlineTheClientIsReset) {
  Serve({one_, two_}, 30);
  ASSERT_EQ(FromClient(1000, kTcpSyn).frame[33], 2);
  FromClient(1000, kTcpAck);
  Serve({one_, two_drained_}, 30);
  Wait(29);
  EXPECT_EQ(FromClient(1000, kTcpAck).where, "wire 1");
  Wait(3);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReset), 1u) << "without waiting for a packet";
  EXPECT_EQ(rig_.snapshot->services.All()[0]->candidates[0].load->Active(), 0);
  const Outcome reset = FromClient(1000, kTcpAck);
  EXPECT_EQ(reset.where, "wire 0") << "back to the client";
  EXPECT_EQ(Describe(reset.frame), "10.99.0.1:80 > 10.0.0.1:1000 tcp 04 ttl 64 len 40");
  EXPECT_EQ(ChecksumFaults(reset.frame), "");
  // RFC 9293: the sequence number that the segment acknowledged. The builder's are 1 and 2.
  EXPECT_EQ(reset.frame[41], 2);
  EXPECT_EQ(rig_.Count(Counter::kSentReset), 1u);
}

// A later fragment has no ports: a reset of it would have two bytes of its payload for each.
TEST_F(DrainTest, ALaterFragmentIsAnsweredByNothing) {
  Serve({one_, two_}, 5);
  ASSERT_EQ(FromClient(1000, kTcpSyn).frame[33], 2);
  Serve({one_, two_drained_}, 5);
  Wait(7);
  const Packet segment = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpAck).Payload("payload");
  rig_.Send(Packet(segment).Fragment(0, true));
  const uint64_t resets = rig_.Count(Counter::kSentReset);
  EXPECT_EQ(rig_.Send(Packet(segment).Fragment(3, false)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kSentReset), resets);
}

TEST_F(DrainTest, SoIsTheServer) {
  Serve({one_, two_}, 5);
  FromClient(1000, kTcpSyn);
  FromServer(1000, kTcpSyn | kTcpAck);
  Serve({one_}, 5);
  Wait(4);
  EXPECT_EQ(FromServer(1000, kTcpAck).where, "wire 0") << "removed, but its answers still pass";
  Wait(3);
  const Outcome reset = FromServer(1000, kTcpAck);
  EXPECT_EQ(reset.where, "wire 1");
  EXPECT_EQ(Describe(reset.frame), "10.0.0.1:1000 > 10.1.0.2:80 tcp 04 ttl 64 len 40");
  EXPECT_EQ(FromServer(1000, kTcpRst).where, "dropped") << "a reset is never answered by a reset";
  EXPECT_EQ(rig_.Count(Counter::kDropDrainOver), 2u);
  EXPECT_EQ(rig_.Count(Counter::kSentReset), 1u);
}

TEST_F(DrainTest, ASegmentWithoutAckIsAnsweredWithOne) {
  Serve({one_, two_}, 1);
  FromClient(1000, kTcpSyn);
  FromClient(1000, kTcpAck);
  Serve({one_}, 1);
  Wait(3);
  const Outcome reset = FromClient(1000, kTcpFin);
  EXPECT_EQ(Describe(reset.frame), "10.99.0.1:80 > 10.0.0.1:1000 tcp 14 ttl 64 len 40");
  EXPECT_EQ(reset.frame[45], 1 + 5 + 1) << "its number, its five bytes, and its FIN";
}

TEST_F(DrainTest, AServerThatComesBackInTimeKeepsItsConnections) {
  Serve({one_, two_}, 10);
  FromClient(1000, kTcpSyn);
  FromClient(1000, kTcpAck);
  Serve({one_}, 10);
  Wait(5);
  Serve({one_, two_}, 10);
  Wait(20);
  EXPECT_EQ(FromClient(1000, kTcpAck).frame[33], 2);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReset), 0u);
}

TEST_F(DrainTest, AServerThatComesBackLateServesNewConnectionsOnly) {
  Serve({one_, two_}, 10);
  FromClient(1000, kTcpSyn);
  FromClient(1000, kTcpAck);
  Serve({one_, two_drained_}, 10);
  Wait(12);
  Serve({one_, two_}, 10);
  Wait(12);
  EXPECT_EQ(FromClient(1000, kTcpAck).where, "kernel input") << "it was closed, and its ten seconds are over";
}

TEST_F(DrainTest, PersistentClientsMoveOnWhenTheDeadlineIsOver) {
  Serve({one_, two_}, 10, Protocol::kTcp, {.timeout_seconds = 1000});
  ASSERT_EQ(FromClient(1000, kTcpSyn).frame[33], 2);
  Serve({one_, two_drained_}, 10, Protocol::kTcp, {.timeout_seconds = 1000});
  Wait(5);
  EXPECT_EQ(FromClient(1001, kTcpSyn).frame[33], 2) << "quiesced: clients of its own are still welcome";
  Wait(7);
  EXPECT_EQ(FromClient(1002, kTcpSyn).frame[33], 1);
}

TEST_F(DrainTest, WithoutADeadlineConnectionsGoOn) {
  Serve({one_, two_});
  FromClient(1000, kTcpSyn);
  FromClient(1000, kTcpAck);
  Serve({one_, two_drained_});
  Wait(600);
  EXPECT_EQ(FromClient(1000, kTcpAck).frame[33], 2);
}

TEST_F(DrainTest, ASweepFindsTheConnectionsOfTheServerAndNoOthers) {
  Serve({one_, two_}, 5);
  for (uint16_t port = 1000; port < 1600; ++port) FromClient(port, kTcpSyn);
  for (uint16_t port = 1000; port < 1600; ++port) FromClient(port, kTcpAck);
  Serve({one_}, 5);
  Wait(7);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReset), 300u);
  EXPECT_EQ(rig_.snapshot->services.All()[0]->candidates[0].load->Active(), 300);
}

// Every change of the configuration asks for a sweep; a stream of them must not keep one from its end.
TEST_F(DrainTest, AStreamOfChangesDoesNotStarveASweep) {
  PipelineRig rig({.connection_capacity = 2000});
  rig.SetGlobal({.settings = {.expire_nodest_conn = true}});
  const auto serve = [&](const std::vector<DestinationSpec>& servers) {
    rig.AddService({.key = {{*IpAddress::Parse("10.99.0.9"), Be16::FromHost(80), Protocol::kTcp}},
                    .scheduler = "rr",
                    .destinations = servers,
                    .persistence = {.timeout_seconds = 1000}});
  };
  serve({PipelineRig::Server("10.1.0.1", 80)});
  for (uint16_t i = 0; i < 1000; ++i) {
    const std::string client = "10.0." + std::to_string(i / 200) + "." + std::to_string(1 + i % 200);
    rig.Send(Packet().From(client, 1000).To("10.99.0.9", 80).Tcp(kTcpSyn));
  }
  ASSERT_EQ(rig.worker->connections.size(), 1000u);
  serve({PipelineRig::Server("10.1.0.2", 80)});
  for (int change = 0; change < 300; ++change) {
    rig.destinations.RequestSweep();
    KeepHouse(*rig.worker);
  }
  EXPECT_EQ(rig.worker->connections.size(), 0u);
  EXPECT_EQ(rig.persistence->size(), 0u);
}

// As many connections end as come, however many queues feed a worker.
TEST_F(DrainTest, ExpiryKeepsUpWithSeveralBurstsARound) {
  constexpr uint32_t kBurstsARound = 4;
  constexpr uint32_t kRounds = 1500;
  PipelineRig rig({.connection_capacity = kRounds * kBurstsARound * kBurst});
  rig.SetTimeouts({.udp_seconds = 1});
  rig.AddService("10.99.0.9", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 53)});
  uint32_t client = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (uint32_t burst = 0; burst < kBurstsARound; ++burst) {
      std::vector<FrameBytes> frames;
      for (int i = 0; i < kBurst; ++i, ++client) {
        const std::string from =
            "10.0." + std::to_string(client / 250 % 250) + "." + std::to_string(1 + client % 250);
        frames.push_back(Packet()
                             .From(from, static_cast<uint16_t>(1024 + client / 62500))
                             .To("10.99.0.9", 53)
                             .Udp()
                             .Bytes());
      }
      rig.Send(frames);
    }
    KeepHouse(*rig.worker);
    ++rig.worker->now;
  }
  EXPECT_LT(rig.worker->connections.size(), 2 * kJiffiesPerSecond * kBurstsARound * kBurst);
}

TEST_F(DrainTest, ExpireNodestConnSweepsWithoutATrace) {
  rig_.SetGlobal({.settings = {.expire_nodest_conn = true}});
  Serve({one_, two_});
  for (uint16_t port = 1000; port < 1600; ++port) FromClient(port, kTcpSyn);
  Serve({one_});
  rig_.Advance(0.1);
  EXPECT_EQ(rig_.worker->connections.size(), 300u);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsDropped), 300u);
}

TEST_F(DrainTest, TimeoutsOfOneService) {
  rig_.AddService({.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
                   .scheduler = "rr",
                   .destinations = {two_},
                   .timeouts = TimeoutSpec{.tcp_seconds = 20, .tcp_fin_seconds = 0, .udp_seconds = 0}});
  rig_.AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {two_});
  const auto establish = [&](const std::string& address) {
    rig_.Send(Packet().From("10.0.0.1", 1000).To(address, 80).Tcp(kTcpSyn));
    rig_.Send(Packet().From("10.0.0.1", 1000).To(address, 80).Tcp(kTcpAck));
  };
  establish("10.99.0.1");
  establish("10.99.0.2");
  rig_.Advance(19);
  EXPECT_EQ(rig_.worker->connections.size(), 2u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.worker->connections.size(), 1u) << "the other has fifteen minutes";
  establish("10.99.0.1");
  FromServer(1000, kTcpFin | kTcpAck);
  rig_.Advance(100);
  EXPECT_EQ(rig_.worker->connections.size(), 2u) << "FIN_WAIT is as everywhere: two minutes";
}

}  // namespace
}  // namespace sluice
