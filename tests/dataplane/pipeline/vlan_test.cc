// Tagged packets of the VLANs that the host is in; they leave with the tag of the network they go to.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr MacAddress kNeighbour{{0x02, 0, 0, 0, 0x77, 1}};

class VlanTest : public testing::Test {
 protected:
  // Clients in VLAN 7 of port 0, servers in VLAN 8 of port 1.
  VlanTest() {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    spec.links[3] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 0, .vlan = 7};
    spec.links[4] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 1, .vlan = 8};
    for (const auto& [interface, network] : {std::pair(3, "10.7.0."), std::pair(4, "10.8.0.")}) {
      spec.routes.push_back({.prefix = *IpAddress::Parse(network + std::string("0")),
                             .prefix_length = 24,
                             .legs = {{.interface = interface}}});
      spec.neighbours[{interface, *IpAddress::Parse(network + std::string("1"))}] = kNeighbour;
    }
    rig_.SetForwarding(spec);
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.8.0.1", 8080)});
    rig_.AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig_.AddService("10.99.0.3", 80, Protocol::kTcp, "rr", {});
  }
  PipelineRig rig_;
};

TEST_F(VlanTest, FromOneToAnotherAndBack) {
  const Outcome out = rig_.Send(Packet().From("10.7.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn).Vlan(7));
  EXPECT_EQ(out.where, "wire 1");
  EXPECT_EQ(Describe(out.frame), "vlan 8 10.7.0.1:1000 > 10.8.0.1:8080 tcp 02 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(out.frame), "");
  EXPECT_TRUE(std::equal(kNeighbour.bytes.begin(), kNeighbour.bytes.end(), out.frame.begin()));
  const Outcome back =
      rig_.Send(Packet().From("10.8.0.1", 8080).To("10.7.0.1", 1000).Tcp(kTcpSyn | kTcpAck).Vlan(8), 1);
  EXPECT_EQ(Describe(back.frame), "vlan 7 10.99.0.1:80 > 10.7.0.1:1000 tcp 12 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(back.frame), "");
}

TEST_F(VlanTest, ATagComesAndGoes) {
  const Outcome out = rig_.Send(Packet().From("10.7.0.1", 1000).To("10.99.0.2", 80).Tcp(kTcpSyn).Vlan(7));
  EXPECT_EQ(Describe(out.frame), "10.7.0.1:1000 > 10.1.0.1:8080 tcp 02 ttl 63 len 40");
  const Outcome back = rig_.Send(Packet().From("10.1.0.1", 8080).To("10.7.0.1", 1000).Tcp(kTcpAck), 1);
  EXPECT_EQ(Describe(back.frame), "vlan 7 10.99.0.2:80 > 10.7.0.1:1000 tcp 10 ttl 63 len 40");
}

TEST_F(VlanTest, AnswersGoWhereTheClientIs) {
  const Outcome out = rig_.Send(Packet().From("10.7.0.1", 1000).To("10.99.0.3", 80).Tcp(kTcpSyn).Vlan(7));
  EXPECT_EQ(Describe(out.frame).substr(0, 41), "vlan 7 10.99.0.3 > 10.7.0.1 icmp 3/3 mtu ");
}

TEST_F(VlanTest, AVlanTheHostIsNotInGoesNowhere) {
  const Packet syn = Packet().From("10.7.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn);
  EXPECT_EQ(rig_.Send(Packet(syn).Vlan(8)).where, "dropped") << "8 is of the other port";
  EXPECT_EQ(rig_.Send(Packet(syn).Vlan(9).EtherType(kEtherTypeArp)).where, "dropped");
  const MacAddress group{{0x01, 0, 0x5e, 0, 0, 0x12}};
  EXPECT_EQ(rig_.Send(Packet(syn).Macs(kMacOfClient, group).Vlan(8)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropVlan), 3u);
}

// A tag that says a priority alone: the packet is untagged, and goes the plain way.
TEST_F(VlanTest, APriorityTagIsNoVlan) {
  const Outcome out =
      rig_.Send(Packet().From("10.0.0.1", 1000).To("10.99.0.2", 80).Tcp(kTcpSyn).Vlan(0xe000));
  EXPECT_EQ(Describe(out.frame), "10.0.0.1:1000 > 10.1.0.1:8080 tcp 02 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(out.frame), "");
  const Outcome to_kernel = rig_.Send(Packet().EtherType(kEtherTypeArp).Vlan(0x2000));
  EXPECT_EQ(to_kernel.where, "kernel input");
  EXPECT_EQ(to_kernel.frame, Packet().EtherType(kEtherTypeArp).Bytes()) << "without the tag";
}

TEST_F(VlanTest, TunnelsAndFragmentsHaveTheirTag) {
  DestinationSpec server = PipelineRig::Server("10.8.0.1", 80);
  server.method = ForwardingMethod::kTunnel;
  ForwardingSpec spec = PipelineRig::DefaultForwarding();
  spec.links[4] = {.mac = kMacOfSluice, .mtu = 600, .up = true, .port = 1, .vlan = 8};
  spec.routes.push_back({.prefix = *IpAddress::Parse("10.8.0.0"),
                         .prefix_length = 24,
                         .legs = {{.interface = 4}},
                         .source = *IpAddress::Parse("10.8.0.9")});
  spec.neighbours[{4, *IpAddress::Parse("10.8.0.1")}] = kNeighbour;
  rig_.SetForwarding(spec);
  rig_.AddService("10.99.0.4", 80, Protocol::kTcp, "rr", {server});
  rig_.Send(Packet().To("10.99.0.4", 80).Tcp(kTcpSyn).Payload(std::string(1000, 'x')));
  ASSERT_EQ(rig_.pieces().size(), 2u);
  for (const Outcome& piece : rig_.pieces()) {
    EXPECT_EQ(piece.where, "wire 1");
    EXPECT_EQ(piece.frame[12] << 8 | piece.frame[13], 0x8100);
    EXPECT_EQ(piece.frame[15], 8);
    EXPECT_EQ(piece.frame[18 + 9], 4) << "IPIP";
  }
}

}  // namespace
}  // namespace sluice
