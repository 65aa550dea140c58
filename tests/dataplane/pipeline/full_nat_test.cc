// Full NAT: local addresses and ports, how they are taken, given back, and run out.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include <set>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr uint32_t kPorts = LocalPorts::kCount;

DestinationSpec FullNatServer(const std::string& address, uint16_t port) {
  DestinationSpec server = PipelineRig::Server(address, port);
  server.method = ForwardingMethod::kFullNat;
  return server;
}
LocalAddress Local(const std::string& address, int interface = 0) {
  return {*IpAddress::Parse(address), interface};
}
Packet Question(uint32_t client, const std::string& to = "10.99.0.1") {
  const std::string from = "10.0." + std::to_string(client / 50'000) + ".1";
  return Packet().From(from, static_cast<uint16_t>(1001 + client % 50'000)).To(to, 53).Udp();
}
// Source in "ADDRESS:PORT > ...".
std::string SourceOf(const Outcome& outcome) {
  const std::string text = Describe(outcome.frame);
  return text.substr(0, text.find(' '));
}

class FullNatTest : public testing::Test {
 protected:
  // Reply of the real server, to whoever it takes for the client.
  static void Reply(PipelineRig& rig, const std::string& client) {
    const size_t colon = client.rfind(':');
    const auto port = static_cast<uint16_t>(std::stoi(client.substr(colon + 1)));
    rig.Send(Packet().From("10.1.0.1", 53).To(client.substr(0, colon), port).Udp(), 1);
  }
  static ServiceSpec Service(const std::vector<DestinationSpec>& servers,
                             const std::vector<LocalAddress>& locals = {}) {
    return {.key = {*IpAddress::Parse("10.99.0.1"), Be16::FromHost(53), Protocol::kUdp},
            .scheduler = "rr",
            .destinations = servers,
            .local_addresses = locals};
  }
  const PortPool& Pool(const PipelineRig& rig, const std::string& local) const {
    return *rig.snapshot->port_pools->at(
        {*IpAddress::Parse(local), {*IpAddress::Parse("10.1.0.1"), Be16::FromHost(53), Protocol::kUdp}});
  }
};

TEST_F(FullNatTest, WithoutALocalAddressNobodyIsServed) {
  PipelineRig rig;
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  EXPECT_EQ(rig.Send(Question(1)).where, "dropped");
  EXPECT_EQ(rig.Count(Counter::kRefusedNoLocalAddress), 1u);
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  EXPECT_EQ(SourceOf(rig.Send(Question(1))), "10.1.0.100:1024") << "live";
}

TEST_F(FullNatTest, TheServicesOwnAddressesComeFirst) {
  PipelineRig rig;
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}, {Local("10.1.0.101")}));
  EXPECT_EQ(SourceOf(rig.Send(Question(1))), "10.1.0.101:1024");
}

TEST_F(FullNatTest, AnAddressOfAnInterfaceIsForServersBehindIt) {
  PipelineRig rig;
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100", 1), Local("10.1.0.101", 2)}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  for (uint32_t i = 0; i < 20; ++i)
    EXPECT_EQ(SourceOf(rig.Send(Question(i))).substr(0, 11), "10.1.0.101:") << "servers are behind 2";
}

TEST_F(FullNatTest, EveryPortOfEveryAddressAndThenNone) {
  PipelineRig rig({.connection_capacity = 2 * kPorts + 1000});
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100"), Local("10.1.0.101")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  std::set<std::string> sources;
  for (uint32_t i = 0; i < 2 * kPorts; ++i) {
    const Outcome outcome = rig.Send(Question(i));
    ASSERT_EQ(outcome.where, "wire 1") << i;
    sources.insert(SourceOf(outcome));
    Reply(rig, SourceOf(outcome));
  }
  EXPECT_EQ(sources.size(), 2 * kPorts) << "no two clients look the same to the server";
  EXPECT_EQ(Pool(rig, "10.1.0.100").free(), 0u);
  EXPECT_EQ(rig.Send(Question(2 * kPorts)).where, "dropped");
  EXPECT_EQ(rig.Count(Counter::kRefusedPortsExhausted), 1u);
  // Another real server has ports of its own.
  ServiceSpec other = Service({FullNatServer("10.1.0.2", 53)});
  other.key.address = *IpAddress::Parse("10.99.0.2");
  rig.AddService(other);
  EXPECT_EQ(rig.Send(Question(1, "10.99.0.2")).where, "wire 1");
  // One more address is of use at once.
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100"), Local("10.1.0.101"), Local("10.1.0.102")}});
  EXPECT_EQ(SourceOf(rig.Send(Question(2 * kPorts))), "10.1.0.102:1024");
  // Connections that are over give theirs back.
  rig.Advance(301);
  EXPECT_EQ(Pool(rig, "10.1.0.100").free(), kPorts);
  EXPECT_EQ(rig.Send(Question(7)).where, "wire 1");
}

TEST_F(FullNatTest, WhenAllPortsAreTakenAnUnansweredConnectionGoesForItsPort) {
  PipelineRig rig({.connection_capacity = kPorts + 1000});
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  std::string first;
  for (uint32_t i = 0; i < kPorts; ++i) {
    const std::string source = SourceOf(rig.Send(Question(i)));
    if (i == 0) first = source;
    if (i >= 10) Reply(rig, source);
  }
  EXPECT_EQ(rig.Count(Counter::kEvictedForPort), 0u);
  EXPECT_EQ(SourceOf(rig.Send(Question(kPorts))), first);
  for (uint32_t i = 1; i < 10; ++i) EXPECT_EQ(rig.Send(Question(kPorts + i)).where, "wire 1");
  EXPECT_EQ(rig.Count(Counter::kEvictedForPort), 10u);
  EXPECT_EQ(Pool(rig, "10.1.0.100").free(), 0u);
}

// A real server of every port and one of a port of its own share local ports, and may not give one to two.
TEST_F(FullNatTest, TwoClientsOfOneBurstGetTwoPorts) {
  PipelineRig rig({.connection_capacity = 2 * kPorts});
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  ServiceSpec any = Service({FullNatServer("10.1.0.1", 0)});
  any.key.address = *IpAddress::Parse("10.99.0.2");
  rig.AddService(any);
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  std::vector<FrameBytes> frames;
  for (uint32_t i = 0; i < 16; ++i) {
    frames.push_back(Question(i).Bytes());
    frames.push_back(Question(i, "10.99.0.2").Bytes());
  }
  std::set<std::string> sources;
  for (const Outcome& outcome : rig.Send(frames)) sources.insert(SourceOf(outcome));
  EXPECT_EQ(sources.size(), 32u);
}

// An edit stores the method before it publishes the configuration: a packet may see either, but one of them.
TEST_F(FullNatTest, AMethodThatIsEditedUnderLoadIsReadOnce) {
  PipelineRig rig({.connection_capacity = 4096});
  rig.SetGlobal({.timeouts = {.udp_seconds = 1}, .local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  const DestinationId id = rig.snapshot->services.All()[0]->candidates[0].id;
  std::atomic<bool> stop{false};
  std::thread editor([&] {
    while (!stop.load()) {
      rig.destinations.SetWay(id, {.method = ForwardingMethod::kNat});
      rig.destinations.SetWay(id, {.method = ForwardingMethod::kFullNat});
    }
  });
  for (uint32_t i = 0; i < 60'000; ++i) {
    rig.Send(Question(i));
    if (i % 2000 == 0) rig.Advance(2);
  }
  stop.store(true);
  editor.join();
  rig.Advance(10);
  EXPECT_EQ(rig.worker->connections.size(), 0u);
  EXPECT_EQ(Pool(rig, "10.1.0.100").taken(), 0u);
}

TEST_F(FullNatTest, APortThatWasGivenBackIsTakenLast) {
  PipelineRig rig({.connection_capacity = kPorts + 10});
  rig.SetTimeouts({.udp_seconds = 1});
  GlobalSpec global{.local_addresses = {Local("10.1.0.100")}};
  global.timeouts.udp_seconds = 1;
  rig.SetGlobal(global);
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  EXPECT_EQ(SourceOf(rig.Send(Question(1))), "10.1.0.100:1024");
  rig.Advance(2);
  EXPECT_EQ(Pool(rig, "10.1.0.100").taken(), 0u);
  for (uint32_t i = 1; i < kPorts; ++i) {
    ASSERT_EQ(SourceOf(rig.Send(Question(i))), "10.1.0.100:" + std::to_string(1024 + i));
    if (i % 1000 == 0) rig.Advance(2);
  }
  EXPECT_EQ(SourceOf(rig.Send(Question(kPorts))), "10.1.0.100:1024");
}

// Two services with one real server must not take the same port, whatever they call the server's.
TEST_F(FullNatTest, ServicesThatShareAServerDoNotMeet) {
  PipelineRig rig({.connection_capacity = 4096});
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  ServiceSpec same = Service({FullNatServer("10.1.0.1", 53)});
  same.key.address = *IpAddress::Parse("10.99.0.2");
  rig.AddService(same);
  ServiceSpec any_port = Service({FullNatServer("10.1.0.1", 0)});
  any_port.key.address = *IpAddress::Parse("10.99.0.3");
  rig.AddService(any_port);
  std::set<std::string> sources;
  for (uint32_t i = 0; i < 300; ++i) {
    const Outcome outcome = rig.Send(Question(i, "10.99.0." + std::to_string(1 + i % 3)));
    ASSERT_EQ(outcome.where, "wire 1");
    EXPECT_EQ(Describe(outcome.frame).substr(SourceOf(outcome).size()), " > 10.1.0.1:53 udp ttl 63 len 28");
    sources.insert(SourceOf(outcome));
  }
  EXPECT_EQ(sources.size(), 300u);
}

// What is removed goes on for the connections that have it, and is forgotten afterwards.
// Of a persistent service of every port a client reaches the port it asked for, whatever the server's own is.
TEST_F(FullNatTest, APersistentServiceOfEveryPortMeetsOthers) {
  PipelineRig rig;
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  ServiceSpec every_port = Service({FullNatServer("10.1.0.1", 54)});
  every_port.key = {*IpAddress::Parse("10.99.0.2"), Be16{}, Protocol::kUdp};
  every_port.persistence.timeout_seconds = 300;
  rig.AddService(every_port);
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  EXPECT_EQ(Describe(rig.Send(Question(1, "10.99.0.2")).frame),
            "10.1.0.100:1024 > 10.1.0.1:53 udp ttl 63 len 28");
  EXPECT_EQ(Describe(rig.Send(Question(2)).frame), "10.1.0.100:1025 > 10.1.0.1:53 udp ttl 63 len 28");
}

TEST_F(FullNatTest, RemovedAddressesServersAndServices) {
  PipelineRig rig;
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  const std::string source = SourceOf(rig.Send(Question(1)));
  rig.SetGlobal({.local_addresses = {Local("10.1.0.101")}});
  EXPECT_EQ(SourceOf(rig.Send(Question(2))), "10.1.0.101:1024");
  EXPECT_EQ(SourceOf(rig.Send(Question(1))), source);
  EXPECT_EQ(rig.snapshot->local_addresses.size(), 2u);
  rig.DeleteService("10.99.0.1", 53, Protocol::kUdp);
  rig.Advance(301);
  EXPECT_EQ(rig.worker->connections.size(), 0u);
  rig.SetGlobal({});
  rig.SetGlobal({});
  rig.SetGlobal({});
  EXPECT_TRUE(rig.snapshot->local_addresses.empty());
  EXPECT_EQ(rig.snapshot->port_pools, nullptr);
}

TEST_F(FullNatTest, ErrorsAreRewrittenInsideAndOutside) {
  PipelineRig rig;
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 5353)}));
  rig.Send(Question(0));
  const Packet to_client = Packet().From("10.99.0.1", 53).To("10.0.0.1", 1001).Udp();
  const Packet from_router =
      Packet().From("10.0.9.9", 0).To("10.99.0.1", 0).IcmpErrorAbout(3, 4, 1400, to_client.Bytes(), 28);
  EXPECT_EQ(Describe(rig.Send(from_router).frame),
            "10.0.9.9 > 10.1.0.1 icmp 3/4 mtu 1400 tos 00 ttl 63 len 56 [10.1.0.1:5353 > 10.1.0.100:1024 udp "
            "ttl 64 len 28]");
  const Packet to_server = Packet().From("10.1.0.100", 1024).To("10.1.0.1", 5353).Udp();
  const Packet from_server =
      Packet().From("10.1.0.1", 0).To("10.1.0.100", 0).IcmpErrorAbout(3, 3, 0, to_server.Bytes(), 28);
  EXPECT_EQ(Describe(rig.Send(from_server, 1).frame),
            "10.99.0.1 > 10.0.0.1 icmp 3/3 mtu 0 tos 00 ttl 63 len 56 [10.0.0.1:1001 > 10.99.0.1:53 udp ttl "
            "64 len 28]");
}

// The answer finds the worker that has the connection, whichever worker it comes to.
TEST_F(FullNatTest, AnswersComeToTheOwner) {
  for (const int workers : {2, 3, 8}) {
    for (const int owner : {0, workers - 1}) {
      PipelineRig rig({.index = owner, .workers = workers});
      PipelineRig other({.index = (owner + 1) % workers, .workers = workers});
      for (PipelineRig* each : {&rig, &other}) {
        each->SetGlobal({.local_addresses = {Local("10.1.0.100"), Local("fd00:b::100")}});
        each->AddService(Service({FullNatServer("10.1.0.1", 53)}));
        ServiceSpec v6 = Service({FullNatServer("fd00:b::1", 53)});
        v6.key.address = *IpAddress::Parse("fd00:99::1");
        each->AddService(v6);
      }
      int own = 0;
      for (uint16_t client = 1; client <= 100; ++client) {
        const bool is_v6 = client % 2 == 1;
        const Outcome outcome = rig.Send(is_v6 ? Packet().From("fd00:a::1", client).To("fd00:99::1", 53).Udp()
                                               : Packet().From("10.0.0.1", client).To("10.99.0.1", 53).Udp());
        if (outcome.where != "wire 1") continue;  // handed over
        ++own;
        const std::string source = SourceOf(outcome);
        const auto port = static_cast<uint16_t>(std::stoi(source.substr(source.rfind(':') + 1)));
        const Packet answer = is_v6 ? Packet().From("fd00:b::1", 53).To("fd00:b::100", port).Udp()
                                    : Packet().From("10.1.0.1", 53).To("10.1.0.100", port).Udp();
        EXPECT_EQ(other.Send(answer, 1).where, "peer " + std::to_string(owner));
        EXPECT_EQ(rig.Send(answer, 1).where, "wire 0");
      }
      EXPECT_GT(own, 3);
    }
  }
}

TEST_F(FullNatTest, WhenTheTableIsFullThePortIsGivenBack) {
  PipelineRig rig({.connection_capacity = 4});
  rig.SetGlobal({.local_addresses = {Local("10.1.0.100")}});
  rig.AddService(Service({FullNatServer("10.1.0.1", 53)}));
  for (uint32_t i = 0; i < 4; ++i) {
    Reply(rig, SourceOf(rig.Send(Question(i))));  // nothing of it may be evicted now
  }
  EXPECT_EQ(rig.Send(Question(5)).where, "dropped");
  EXPECT_EQ(rig.Count(Counter::kRefusedTableFull), 1u);
  EXPECT_EQ(Pool(rig, "10.1.0.100").taken(), 4u);
}

}  // namespace
}  // namespace sluice
