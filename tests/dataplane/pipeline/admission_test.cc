// A full table: who is evicted for whom, who is refused, and what a flood can and cannot do.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/admission.h"

#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr int kCapacity = 1024;

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    Serve(ForwardingMethod::kNat);
    rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 53)});
  }
  void Serve(ForwardingMethod method) {
    DestinationSpec server = PipelineRig::Server("10.1.0.1", 80);
    server.method = method;
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {server});
  }
  // Clients in 250 networks.
  static std::string Client(int i) {
    return "10.0." + std::to_string(i % 250) + "." + std::to_string(1 + i / 250);
  }
  static Packet FromClient(int i, uint8_t flags) {
    return Packet().From(Client(i), 1000).To("10.99.0.1", 80).Tcp(flags);
  }
  static Packet FromServer(int i, uint8_t flags) {
    return Packet().From("10.1.0.1", 80).To(Client(i), 1000).Tcp(flags);
  }
  static Packet Question(int i) { return Packet().From(Client(i), 1000).To("10.99.0.1", 53).Udp(); }
  static Packet Reply(int i) { return Packet().From("10.1.0.1", 53).To(Client(i), 1000).Udp(); }

  bool Open(int i) { return rig_.Send(FromClient(i, kTcpSyn)).where == "wire 1"; }
  bool IsKnown(int i) { return rig_.Send(FromClient(i, kTcpAck)).where == "wire 1"; }
  bool Establish(int i) {
    const bool opened = Open(i);
    rig_.Send(FromServer(i, kTcpSyn | kTcpAck), 1);
    return opened && IsKnown(i);
  }
  // Whoever claims to have been answered: an ACK after the SYN, and no word of the server.
  void OpenHalf(int i) {
    Open(i);
    IsKnown(i);
  }
  void Ask(int i) {
    rig_.Send(Question(i));
    rig_.Send(Reply(i), 1);
  }
  void ForAll(int first, int count, const std::function<void(int)>& action) {
    for (int i = first; i < first + count; ++i) action(i);
  }
  uint64_t Count(Counter counter) const { return rig_.Count(counter); }

  PipelineRig rig_{{.connection_capacity = kCapacity}};
};

TEST_F(AdmissionTest, NobodyIsEvictedWhileThereIsRoom) {
  ForAll(0, kCapacity, [&](int i) { ASSERT_TRUE(Open(i)); });
  for (const Counter counter : {Counter::kEvictedClosed, Counter::kEvictedUnanswered,
                                Counter::kEvictedIdleUdp, Counter::kEvictedIdle})
    EXPECT_EQ(Count(counter), 0u);
}

TEST_F(AdmissionTest, ActiveConnectionsAreNeverEvictedAndTheTableRecovers) {
  ForAll(0, kCapacity, [&](int i) { ASSERT_TRUE(Establish(i)); });
  EXPECT_FALSE(Open(2000));
  EXPECT_EQ(Count(Counter::kRefusedTableFull), 1u);
  ForAll(0, kCapacity, [&](int i) { ASSERT_TRUE(IsKnown(i)) << i; });
  rig_.Advance(901);
  EXPECT_TRUE(Establish(2000));
}

TEST_F(AdmissionTest, ClosedConnectionsGoFirst) {
  ForAll(0, 900, [&](int i) { Establish(i); });
  ForAll(900, 100, [&](int i) { Open(i); });
  ForAll(0, 12, [&](int i) { rig_.Send(FromServer(i, kTcpRst), 1); });  // CLOSE
  ForAll(12, 12, [&](int i) {                                           // TIME_WAIT
    rig_.Send(FromClient(i, kTcpFin | kTcpAck));
    rig_.Send(FromServer(i, kTcpFin | kTcpAck), 1);
  });
  ForAll(2000, 24 + 24, [&](int i) { ASSERT_TRUE(Open(i)); });
  EXPECT_EQ(Count(Counter::kEvictedClosed), 24u);
  EXPECT_EQ(Count(Counter::kEvictedUnanswered), 0u);
  ForAll(24, 876, [&](int i) { ASSERT_TRUE(IsKnown(i)) << i; });
  ForAll(900, 100, [&](int i) { ASSERT_TRUE(IsKnown(i)) << "a handshake that goes on " << i; });
}

// A client's SYN and ACK move the state to ESTABLISHED, as in the kernel; but while the server is silent, the
// entry goes before anything that is real.
TEST_F(AdmissionTest, HalfHandshakesDoNotKeepNewcomersOut) {
  ForAll(0, 2 * kCapacity, [&](int i) { OpenHalf(i); });
  EXPECT_EQ(rig_.worker->connections.ByIndex(1).state, kTcpEstablished);
  ForAll(3000, 20, [&](int i) { ASSERT_TRUE(Establish(i)); });
  ForAll(4000, 100, [&](int i) { OpenHalf(i); });
  ForAll(3000, 20, [&](int i) { ASSERT_TRUE(IsKnown(i)); });
  EXPECT_EQ(Count(Counter::kRefusedTableFull), 0u);
  EXPECT_GT(Count(Counter::kEvictedUnanswered), 1000u);
}

TEST_F(AdmissionTest, OneDatagramForEachSourceDoesNotKeepNewcomersOut) {
  ForAll(0, 2 * kCapacity, [&](int i) { rig_.Send(Question(i)); });
  ForAll(3000, 20, [&](int i) { ASSERT_TRUE(Establish(i)); });
  ForAll(4000, 200, [&](int i) { rig_.Send(Question(i)); });
  ForAll(3000, 20, [&](int i) { ASSERT_TRUE(IsKnown(i)); });
  EXPECT_EQ(Count(Counter::kRefusedTableFull), 0u);
}

// Nobody replies to a stream of datagrams like syslog's; what goes on sending stays.
TEST_F(AdmissionTest, AStreamWithoutRepliesOutlivesSingleDatagrams) {
  ForAll(0, 5, [&](int i) { rig_.Send(Question(i)); });
  ForAll(1000, kCapacity - 5, [&](int i) { rig_.Send(Question(i)); });
  for (int round = 0; round < 20; ++round) {
    rig_.Advance(0.5);
    ForAll(0, 5, [&](int i) { rig_.Send(Question(i)); });
    ForAll(10000 + 50 * round, 50, [&](int i) { rig_.Send(Question(i)); });
  }
  const uint64_t created = Count(Counter::kConnectionsCreated);
  ForAll(0, 5, [&](int i) { rig_.Send(Question(i)); });
  EXPECT_EQ(Count(Counter::kConnectionsCreated), created);
}

TEST_F(AdmissionTest, AFullTableOfAnsweredDatagramsTakesNewcomers) {
  ForAll(0, kCapacity, [&](int i) { Ask(i); });
  EXPECT_EQ(rig_.Send(Question(2000)).where, "dropped") << "all of them are of this second";
  rig_.Advance(2);
  rig_.Send(Question(7));
  ForAll(2000, 300, [&](int i) { ASSERT_TRUE(Establish(i)); });
  EXPECT_EQ(Count(Counter::kEvictedIdleUdp), 300u);
  const uint64_t created = Count(Counter::kConnectionsCreated);
  rig_.Send(Question(7));
  EXPECT_EQ(Count(Counter::kConnectionsCreated), created) << "it was in use";
}

TEST_F(AdmissionTest, IdleConnectionsGoBeforeNewcomersAreRefused) {
  ForAll(0, kCapacity, [&](int i) { Establish(i); });
  rig_.Advance(59);
  EXPECT_FALSE(Open(2000));
  ForAll(0, 500, [&](int i) { ASSERT_TRUE(IsKnown(i)); });
  rig_.Advance(2);
  // A search for an idle one takes a bounded number of steps, and goes on where it was.
  int opened = 0;
  ForAll(2000, 60, [&](int i) { opened += Establish(i); });
  EXPECT_GE(opened, 60 - 500 / kIdleLooks - 1);
  EXPECT_EQ(Count(Counter::kEvictedIdle), static_cast<uint64_t>(opened));
  ForAll(0, 500, [&](int i) { ASSERT_TRUE(IsKnown(i)) << i; });
}

TEST_F(AdmissionTest, AFloodTakesNoMoreThanItsShareFromIdleFlows) {
  ForAll(0, kCapacity, [&](int i) { Ask(i); });
  rig_.Advance(2);
  constexpr int kShare = kCapacity / static_cast<int>(kUnansweredShare);
  ForAll(10000, 5000, [&](int i) { ASSERT_TRUE(Open(i)); });
  EXPECT_EQ(Count(Counter::kEvictedIdleUdp), static_cast<uint64_t>(kShare) + 1);
  EXPECT_EQ(Count(Counter::kEvictedUnanswered), 5000u - kShare - 1);
}

TEST_F(AdmissionTest, InAFullTableOfActiveConnectionsTheOldestHandshakeGoes) {
  ForAll(0, kCapacity - 2, [&](int i) { Establish(i); });
  ASSERT_TRUE(Open(3001));
  ASSERT_TRUE(Open(3002));
  ASSERT_TRUE(Open(3003)) << "instead of 3001";
  EXPECT_EQ(rig_.Send(FromClient(3001, kTcpAck)).where, "kernel input") << "nobody knows it any more";
  rig_.Send(FromServer(3002, kTcpSyn | kTcpAck), 1);
  EXPECT_TRUE(IsKnown(3002));
  ASSERT_TRUE(Establish(3004)) << "instead of 3003";
  EXPECT_FALSE(Open(3005)) << "all are established";
  EXPECT_EQ(rig_.snapshot->services.All()[1]->candidates[0].load->Total(), kCapacity);
}

TEST_F(AdmissionTest, AFloodInOneBurstEvictsItself) {
  ForAll(0, kCapacity - 1, [&](int i) { Establish(i); });
  std::vector<FrameBytes> flood;
  for (int i = 3000; i < 3032; ++i) flood.push_back(FromClient(i, kTcpSyn).Bytes());
  const std::vector<Outcome> outcomes = rig_.Send(flood);
  for (int i = 0; i < 31; ++i) EXPECT_EQ(outcomes[i].where, "dropped") << i;
  EXPECT_EQ(outcomes[31].where, "wire 1");
  EXPECT_EQ(Count(Counter::kDropConnectionReused), 31u);
  EXPECT_EQ(Count(Counter::kEvictedUnanswered), 31u);
}

// With direct routing the server's replies are not seen: the client's word must do, but not for long.
TEST_F(AdmissionTest, WhereRepliesDoNotPassAYoungSilentConnectionGoesAfterFiveSeconds) {
  Serve(ForwardingMethod::kDirect);
  ForAll(0, kCapacity, [&](int i) { OpenHalf(i); });
  EXPECT_FALSE(Open(2000));
  rig_.Advance(6);
  ForAll(2000, 20, [&](int i) { ASSERT_TRUE(Open(i)); });
  EXPECT_EQ(Count(Counter::kEvictedIdle), 20u);
}

// One network with all of the table gives half of it away, to others and for nothing less.
TEST_F(AdmissionTest, OneNetworkCannotKeepTheTable) {
  const auto from_one_network = [&](uint16_t port, uint8_t flags) {
    return rig_.Send(Packet().From("10.0.77.1", port).To("10.99.0.1", 80).Tcp(flags)).where;
  };
  const auto establish = [&](uint16_t port) {
    from_one_network(port, kTcpSyn);
    rig_.Send(Packet().From("10.1.0.1", 80).To("10.0.77.1", port).Tcp(kTcpSyn | kTcpAck), 1);
    return from_one_network(port, kTcpAck) == "wire 1";
  };
  for (uint16_t port = 1001; port <= 1000 + kCapacity; ++port) ASSERT_TRUE(establish(port)) << port;
  EXPECT_FALSE(establish(5000));
  EXPECT_EQ(Count(Counter::kRefusedTableFull), 1u) << "it has more than its share";
  int established = 0;
  // Services, too, have a share, and this one has it all: its own newcomers get nothing.
  rig_.AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.2", 80)});
  const auto establish_other = [&](int i) {
    rig_.Send(Packet().From(Client(i), 1000).To("10.99.0.2", 80).Tcp(kTcpSyn));
    rig_.Send(Packet().From("10.1.0.2", 80).To(Client(i), 1000).Tcp(kTcpSyn | kTcpAck), 1);
    return rig_.Send(Packet().From(Client(i), 1000).To("10.99.0.2", 80).Tcp(kTcpAck)).where == "wire 1";
  };
  ForAll(2000, kCapacity, [&](int i) { established += establish_other(i); });
  EXPECT_EQ(established, kCapacity / 2);
  EXPECT_EQ(Count(Counter::kEvictedOverShare), static_cast<uint64_t>(kCapacity) / 2);
}

// Handshakes that nobody has answered take nothing of that.
TEST_F(AdmissionTest, AFloodEvictsNoActiveConnectionWhoseverTheTableIs) {
  ForAll(0, kCapacity - 1, [&](int i) { Establish(i); });
  ForAll(5000, 500, [&](int i) { rig_.Send(Question(i)); });
  EXPECT_EQ(Count(Counter::kEvictedOverShare), 0u);
  ForAll(0, kCapacity - 1, [&](int i) { ASSERT_TRUE(IsKnown(i)) << i; });
}

TEST_F(AdmissionTest, AWrongChecksumOpensNothingAndMovesNoState) {
  EXPECT_EQ(rig_.Send(FromClient(1, kTcpSyn).BreakTransportChecksum()).where, "dropped");
  EXPECT_EQ(Count(Counter::kDropTransportChecksum), 1u);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  Open(1);
  const Connection& connection = rig_.worker->connections.ByIndex(1);
  EXPECT_EQ(rig_.Send(FromClient(1, kTcpAck).BreakTransportChecksum()).where, "wire 1");
  EXPECT_EQ(connection.state, kTcpSynRecv);
  EXPECT_EQ(Count(Counter::kWrongChecksum), 1u);
  Establish(1);
  rig_.Send(FromServer(1, kTcpRst).BreakTransportChecksum(), 1);
  EXPECT_EQ(connection.state, kTcpEstablished);
  rig_.Send(FromClient(1, kTcpAck).BreakTransportChecksum());
  EXPECT_EQ(Count(Counter::kWrongChecksum), 2u) << "where no state would change nobody looks";
  // A device that has looked is believed.
  rig_.device_says = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  rig_.Send(FromServer(1, kTcpRst).BreakTransportChecksum(), 1);
  EXPECT_EQ(connection.state, kTcpClose);
}

TEST_F(AdmissionTest, AWrongChecksumOfSctpOrIpv6OpensNothing) {
  rig_.AddService("10.99.0.1", 90, Protocol::kSctp, "rr", {PipelineRig::Server("10.1.0.1", 90)});
  rig_.AddService("fd00:99::1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("fd00:b::1", 80)});
  Packet init = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 90).Sctp({kSctpChunkInit});
  Packet syn = Packet().From("fd00:a::1", 1000).To("fd00:99::1", 80).Tcp(kTcpSyn).Payload("odd");
  EXPECT_EQ(rig_.Send(init).where, "wire 1");
  EXPECT_EQ(rig_.Send(syn).where, "wire 1");
  EXPECT_EQ(rig_.Send(init.From("10.0.0.2", 1000).BreakTransportChecksum()).where, "dropped");
  EXPECT_EQ(rig_.Send(syn.From("fd00:a::2", 1000).BreakTransportChecksum()).where, "dropped");
  EXPECT_EQ(Count(Counter::kDropTransportChecksum), 2u);
}

TEST_F(AdmissionTest, AServiceWithoutServersSendsABoundedNumberOfResets) {
  rig_.AddService({.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(81), Protocol::kTcp}},
                   .scheduler = "rr",
                   .no_destination = NoDestinationPolicy::kReset});
  const auto syn = [&](int i) { return Packet().From(Client(i), 1000).To("10.99.0.1", 81).Tcp(kTcpSyn); };
  int resets = 0;
  ForAll(0, 1000, [&](int i) { resets += rig_.Send(syn(i)).where == "wire 0"; });
  EXPECT_EQ(resets, static_cast<int>(kRefusalsBurst));
  EXPECT_EQ(Count(Counter::kRefusedNoDestination), 1000u);
  EXPECT_EQ(Count(Counter::kResetLimited), 1000u - kRefusalsBurst);
  rig_.Advance(0.1);
  EXPECT_EQ(rig_.Send(syn(1)).where, "wire 0");
}

// The settings of IPVS that depend on memory look at it when it is used up, not once a second.
TEST_F(AdmissionTest, ShortMemoryIsNoticedAtTheInsertionThatMakesItShort) {
  rig_.SetGlobal({.settings = {.amemthresh = 500, .drop_entry = 1, .secure_tcp = 1}});
  ForAll(0, kCapacity - 500, [&](int i) { Open(i); });
  EXPECT_FALSE(rig_.worker->defence.secure_tcp());
  ForAll(1000, 2, [&](int i) { Open(i); });
  EXPECT_TRUE(rig_.worker->defence.secure_tcp());
  EXPECT_TRUE(rig_.worker->defence.dropping_entries());
  KeepHouse(*rig_.worker);
  EXPECT_GT(Count(Counter::kConnectionsDropped), 0u) << "in the same second";
}

TEST_F(AdmissionTest, NothingIsLeftWhenAllIsOver) {
  ForAll(0, 700, [&](int i) { Establish(i); });
  ForAll(1000, 2000, [&](int i) { OpenHalf(i); });
  ForAll(4000, 300, [&](int i) { Ask(i); });
  ForAll(0, 50, [&](int i) { rig_.Send(FromServer(i, kTcpRst), 1); });
  ForAll(5000, 100, [&](int i) { Open(i); });
  rig_.Advance(2000);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(rig_.worker->eviction.size(EvictionList::kClosed), 0u);
  EXPECT_EQ(rig_.worker->eviction.size(EvictionList::kUnanswered), 0u);
  for (const auto& service : rig_.snapshot->services.All()) {
    EXPECT_EQ(service->candidates[0].load->Total(), 0);
    EXPECT_EQ(service->candidates[0].load->Active(), 0);
    EXPECT_EQ(rig_.worker->shares.OfService(rig_.destinations.service_number(service->candidates[0].id)), 0u);
  }
}

}  // namespace
}  // namespace sluice
