// Connections from the first packet to the last: scheduling, states, reuse, removal, expiry, counts.
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class ConnectionTest : public testing::Test {
 protected:
  void Serve(const std::vector<DestinationSpec>& servers, const std::string& scheduler = "rr") {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, scheduler, servers);
  }
  static Packet FromClient(uint16_t port, uint8_t flags) {
    return Packet().From("10.0.0.1", port).To("10.99.0.1", 80).Tcp(flags);
  }
  static Packet FromServer(const std::string& server, uint16_t port, uint8_t flags) {
    return Packet().From(server, 80).To("10.0.0.1", port).Tcp(flags);
  }
  // Who got it: the last number of the real server's address; "refused" if the client is told that nobody
  // did.
  std::string Open(uint16_t port) {
    const Outcome outcome = rig_.Send(FromClient(port, kTcpSyn));
    if (outcome.where == "wire 0") return "refused";
    return outcome.frame.empty() ? outcome.where : std::to_string(outcome.frame[33]);
  }
  void Establish(uint16_t port, const std::string& server) {
    rig_.Send(FromClient(port, kTcpSyn));
    rig_.Send(FromServer(server, port, kTcpSyn | kTcpAck), 1);
    rig_.Send(FromClient(port, kTcpAck));
  }
  const DestinationLoad& Load(size_t candidate) {
    return *rig_.snapshot->services.All()[0]->candidates[candidate].load;
  }

  PipelineRig rig_;
  const DestinationSpec one_ = PipelineRig::Server("10.1.0.1", 80);
  const DestinationSpec two_ = PipelineRig::Server("10.1.0.2", 80);
};

TEST_F(ConnectionTest, EveryPacketOfAFlowGoesToTheSameServer) {
  Serve({one_, two_});
  EXPECT_EQ(Open(1000), "2");
  EXPECT_EQ(Open(1001), "1");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).frame[33], 2);
    EXPECT_EQ(rig_.Send(FromClient(1001, kTcpAck)).frame[33], 1);
  }
}

TEST_F(ConnectionTest, CountsFollowTheState) {
  Serve({one_});
  rig_.Send(FromClient(1000, kTcpSyn));
  EXPECT_EQ(Load(0).Active(), 1);  // SYN_RECV counts as active
  EXPECT_EQ(Load(0).Total(), 1);
  rig_.Send(FromServer("10.1.0.1", 1000, kTcpSyn | kTcpAck), 1);
  rig_.Send(FromClient(1000, kTcpAck));
  EXPECT_EQ(Load(0).Active(), 1);
  rig_.Send(FromClient(1000, kTcpFin | kTcpAck));
  EXPECT_EQ(Load(0).Active(), 0);
  EXPECT_EQ(Load(0).Total(), 1);
  rig_.Send(FromServer("10.1.0.1", 1000, kTcpFin | kTcpAck), 1);
  rig_.Advance(121);  // TIME_WAIT
  EXPECT_EQ(Load(0).Total(), 0);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
}

TEST_F(ConnectionTest, StatisticsCountPacketsAndBytes) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  const StatisticsLine& line = rig_.worker->statistics[rig_.snapshot->services.All()[0]->candidates[0].id];
  EXPECT_EQ(line.connections, 1u);
  EXPECT_EQ(line.in().packets, 2u);
  EXPECT_EQ(line.in().bytes, 80u);
  EXPECT_EQ(line.out().packets, 1u);
  EXPECT_EQ(line.out().bytes, 40u);
}

TEST_F(ConnectionTest, AnEstablishedConnectionLivesFifteenMinutesAfterItsLastPacket) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  rig_.Advance(899);
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "wire 1");
  rig_.Advance(899);
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "kernel input");
}

TEST_F(ConnectionTest, AShorterStateExpiresOnTime) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  rig_.Send(FromServer("10.1.0.1", 1000, kTcpRst), 1);
  rig_.Advance(9);
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  rig_.Advance(2);  // CLOSE: 10 s
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
}

TEST_F(ConnectionTest, ChangedTimeoutsHoldFromTheNextPacketOn) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  rig_.SetTimeouts({.tcp_seconds = 5});
  rig_.Send(FromClient(1000, kTcpAck));
  rig_.Advance(4);
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "wire 1");
}

TEST_F(ConnectionTest, ASynReplacesAClosedConnection) {
  Serve({one_, two_});
  EXPECT_EQ(Open(1000), "2");
  rig_.Send(FromServer("10.1.0.2", 1000, kTcpRst), 1);
  EXPECT_EQ(Open(1000), "1") << "scheduled anew";
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReused), 1u);
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  EXPECT_EQ(Load(0).Total() + Load(1).Total(), 1);
}

TEST_F(ConnectionTest, AReplacedConnectionHasOneTimer) {
  Serve({one_});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Open(1000), "1");
    rig_.Send(FromServer("10.1.0.1", 1000, kTcpRst), 1);
    EXPECT_EQ(Open(2000), "1");
  }
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReused), 2u);
  rig_.Advance(61);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(rig_.Count(Counter::kConnectionsExpired), 2u);
  EXPECT_EQ(Load(0).Total(), 0);
}

TEST_F(ConnectionTest, ASynOnALivingConnectionDoesNot) {
  Serve({one_, two_});
  Establish(1000, "10.1.0.2");
  EXPECT_EQ(Open(1000), "2");
  EXPECT_EQ(rig_.Count(Counter::kConnectionsReused), 0u);
}

TEST_F(ConnectionTest, LatePacketsInTheBurstOfAReplacementAreNamed) {
  Serve({one_});
  Open(1000);
  rig_.Send(FromServer("10.1.0.1", 1000, kTcpRst), 1);
  const std::vector<Outcome> outcomes =
      rig_.Send({FromClient(1000, kTcpAck).Bytes(), FromClient(1000, kTcpSyn).Bytes()});
  EXPECT_EQ(outcomes[0].where, "dropped");
  EXPECT_EQ(outcomes[1].where, "wire 1");
  EXPECT_EQ(rig_.Count(Counter::kDropConnectionReused), 1u);
}

TEST_F(ConnectionTest, ARemovedServersConnectionsFallSilentAndComeBackWithIt) {
  Serve({one_, two_});
  Establish(1000, "10.1.0.2");
  Establish(1001, "10.1.0.1");
  Serve({one_});
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropDestinationRemoved), 1u);
  EXPECT_EQ(rig_.Send(FromServer("10.1.0.2", 1000, kTcpAck), 1).where, "wire 0")
      << "as in IPVS, replies still pass";
  EXPECT_EQ(rig_.Send(FromClient(1001, kTcpAck)).where, "wire 1");
  Serve({one_, two_});
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "wire 1");
}

TEST_F(ConnectionTest, ADeletedServiceLeavesNothingToSchedule) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  rig_.DeleteService("10.99.0.1", 80, Protocol::kTcp);
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "dropped");
  EXPECT_EQ(rig_.Send(FromClient(2000, kTcpSyn)).where, "kernel input");
}

TEST_F(ConnectionTest, WeightZeroDrains) {
  Serve({one_});
  Establish(1000, "10.1.0.1");
  Serve({PipelineRig::Server("10.1.0.1", 80, 0)});
  EXPECT_EQ(rig_.Send(FromClient(1000, kTcpAck)).where, "wire 1");
  EXPECT_EQ(Open(1001), "refused");
  EXPECT_EQ(rig_.Count(Counter::kRefusedNoDestination), 1u);
}

TEST_F(ConnectionTest, AServiceWithoutServersRefuses) {
  Serve({});
  EXPECT_EQ(Open(1000), "refused");
  EXPECT_EQ(rig_.Count(Counter::kRefusedNoDestination), 1u);
}

TEST_F(ConnectionTest, UdpConnectionsExpireToo) {
  rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {one_});
  const Packet question = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Udp();
  rig_.Send(question);
  rig_.Advance(299);
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
}

TEST_F(ConnectionTest, WlcSeesTheConnectionsThatAreThere) {
  Serve({one_, two_}, "wlc");
  EXPECT_EQ(Open(1000), "2");
  EXPECT_EQ(Open(1001), "1");
  EXPECT_EQ(Open(1002), "2");
  rig_.Send(FromServer("10.1.0.2", 1000, kTcpRst), 1);
  rig_.Send(FromServer("10.1.0.2", 1002, kTcpRst), 1);
  rig_.Advance(11);
  EXPECT_EQ(Open(1003), "2");
}

TEST_F(ConnectionTest, OnePacketSchedulingKeepsNothing) {
  ServiceSpec spec{.key = {*IpAddress::Parse("10.99.0.1"), Be16::FromHost(53), Protocol::kUdp},
                   .scheduler = "rr",
                   .one_packet = true,
                   .destinations = {one_, two_}};
  rig_.AddService(spec);
  const Packet question = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Udp();
  std::string chosen;
  for (const Outcome& outcome : rig_.Send({question.Bytes(), question.Bytes(), question.Bytes()})) {
    EXPECT_EQ(ChecksumFaults(outcome.frame), "");
    chosen += std::to_string(outcome.frame[33]);
  }
  EXPECT_EQ(chosen, "212");
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(Load(0).Total() + Load(1).Total(), 0);
  EXPECT_EQ(rig_.Count(Counter::kOnePacket), 3u);
  EXPECT_EQ(rig_.Send(Packet().From("10.1.0.2", 80).To("10.0.0.1", 1000).Udp(), 1).where, "kernel input");
}

// The two sequences observed on a kernel.
TEST_F(ConnectionTest, ThresholdsRefuseAndAcceptAgain) {
  DestinationSpec limited = PipelineRig::Server("10.1.0.1", 80);
  limited.upper_threshold = 3;
  limited.lower_threshold = 2;
  Serve({limited});
  for (uint16_t port = 1001; port <= 1003; ++port) EXPECT_EQ(Open(port), "1");
  EXPECT_EQ(Open(1004), "refused");
  EXPECT_EQ(Open(1005), "refused");
  EXPECT_EQ(rig_.Send(FromClient(1001, kTcpAck)).where, "wire 1") << "those that are there go on";
  EXPECT_EQ(rig_.Count(Counter::kRefusedNoDestination), 2u);
}

TEST_F(ConnectionTest, WithoutALowerThresholdItIsThreeQuarters) {
  DestinationSpec limited = PipelineRig::Server("10.1.0.1", 80);
  limited.upper_threshold = 4;
  Serve({limited});
  for (uint16_t port = 1001; port <= 1004; ++port) EXPECT_EQ(Open(port), "1");
  EXPECT_EQ(Open(1005), "refused");
  rig_.Send(FromServer("10.1.0.1", 1001, kTcpRst), 1);
  rig_.Advance(11);
  EXPECT_EQ(Load(0).Total(), 3);
  EXPECT_EQ(Open(1005), "refused") << "three are not fewer than three";
  rig_.Send(FromServer("10.1.0.1", 1002, kTcpRst), 1);
  rig_.Advance(11);
  EXPECT_EQ(Load(0).Total(), 2);
  for (uint16_t port = 1006; port <= 1007; ++port) EXPECT_EQ(Open(port), "1");
  EXPECT_EQ(Open(1008), "refused");
}

TEST_F(ConnectionTest, EditedThresholdsCountAtOnce) {
  Serve({one_});
  for (uint16_t port = 1001; port <= 1005; ++port) EXPECT_EQ(Open(port), "1");
  DestinationSpec limited = one_;
  limited.upper_threshold = 5;
  limited.lower_threshold = 4;
  Serve({limited});
  EXPECT_EQ(Open(1006), "refused");
  limited.upper_threshold = 8;
  limited.lower_threshold = 5;
  Serve({limited});
  EXPECT_EQ(Open(1006), "refused") << "between the two the flag stays";
  limited.lower_threshold = 6;
  Serve({limited});
  EXPECT_EQ(Open(1006), "1");
  Serve({one_});
  EXPECT_EQ(Open(1007), "1");
}

TEST_F(ConnectionTest, WlcSpreadsTheNewConnectionsOfOneBurst) {
  Serve({one_, two_, PipelineRig::Server("10.1.0.3", 80, 2)}, "wlc");
  std::vector<FrameBytes> frames;
  for (uint16_t port = 1000; port < 1008; ++port) frames.push_back(FromClient(port, kTcpSyn).Bytes());
  std::string chosen;
  for (const Outcome& outcome : rig_.Send(frames)) chosen += std::to_string(outcome.frame[33]);
  // One packet after the other, the lowest (256 active + total) / weight, the head of the list among equals.
  EXPECT_EQ(chosen, "32133213");
}

// A worker that slept may find another snapshot where the one was that it knew.
TEST_F(ConnectionTest, ASnapshotIsKnownByItsNumberNotByItsAddress) {
  Snapshot snapshot;
  snapshot.generation = 101;
  rig_.worker->Use(snapshot, *rig_.forwarding);
  EXPECT_FALSE(rig_.worker->settings.sloppy_tcp);
  snapshot.generation = 103;
  snapshot.settings.sloppy_tcp = true;
  snapshot.timeouts.tcp_seconds = 7;
  rig_.worker->Use(snapshot, *rig_.forwarding);
  EXPECT_TRUE(rig_.worker->settings.sloppy_tcp);
  EXPECT_EQ(rig_.worker->timeouts.Of(Protocol::kTcp, kTcpEstablished), JiffiesFromSeconds(7));
}

TEST_F(ConnectionTest, AServiceForSomeClientsOnly) {
  rig_.AddService({.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
                   .scheduler = "rr",
                   .destinations = {one_},
                   .sources = {.allow = {{*IpAddress::Parse("10.0.0.0"), 24}}, .deny = {}}});
  EXPECT_EQ(Open(1000), "1");
  EXPECT_EQ(rig_.Send(Packet().From("10.0.1.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kRefusedSource), 1u);
}

}  // namespace
}  // namespace sluice
