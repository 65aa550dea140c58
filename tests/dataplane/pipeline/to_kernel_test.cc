// Packets for the kernel: by class, and of each class no more than its budget.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr MacAddress kAllNodes{{0x33, 0x33, 0, 0, 0, 1}};

FrameBytes Arp() { return Packet().EtherType(kEtherTypeArp).Bytes(); }
// Type and code, and nothing else that matters here.
FrameBytes Icmpv6(uint8_t type, uint8_t hop_limit) {
  return Packet()
      .From("fd00:a::fe", 0)
      .To("fd00:99::2", 0)
      .IpProtocol(58)
      .Ttl(hop_limit)
      .Payload(std::string(1, static_cast<char>(type)) + std::string(23, '\0'))
      .Bytes();
}
FrameBytes Stray(int client) {
  return Packet()
      .From("10.0.0." + std::to_string(client % 250 + 1), static_cast<uint16_t>(1024 + client))
      .To("10.99.0.1", 80)
      .Tcp(kTcpAck)
      .Bytes();
}
Packet ToHost(uint16_t port) { return Packet().From("10.0.0.9", 40000).To("10.99.0.200", port); }

class ToKernelTest : public testing::Test {
 protected:
  ToKernelTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 80)});
  }

  PipelineRig rig_;
};

TEST_F(ToKernelTest, Classes) {
  const struct {
    const char* name;
    FrameBytes frame;
    KernelClass kernel_class;
  } kCases[] = {
      {"ARP", Arp(), KernelClass::kLink},
      {"a group address", Packet().Macs(kMacOfClient, kAllNodes).Bytes(), KernelClass::kLink},
      {"LLDP", Packet().EtherType(Be16::FromHost(0x88cc)).Bytes(), KernelClass::kLink},
      {"neighbour solicitation", Icmpv6(135, 255), KernelClass::kLink},
      {"neighbour advertisement", Icmpv6(136, 255), KernelClass::kLink},
      {"such a one from far away", Icmpv6(136, 254), KernelClass::kHost},
      {"another ICMPv6", Icmpv6(1, 255), KernelClass::kHost},
      {"BGP, from a neighbour", ToHost(179).Tcp(kTcpSyn).Bytes(), KernelClass::kRouting},
      {"BGP, to one that was called",
       Packet().From("10.0.0.9", 179).To("10.99.0.200", 40000).Tcp(kTcpAck).Bytes(), KernelClass::kRouting},
      {"BFD", ToHost(3784).Udp().Bytes(), KernelClass::kRouting},
      {"BGP's port of a virtual address",
       Packet().From("10.0.0.9", 40000).To("10.99.0.1", 179).Tcp(kTcpSyn).Bytes(), KernelClass::kStray},
      {"SSH", ToHost(22).Tcp(kTcpSyn).Bytes(), KernelClass::kHost},
      {"OSPF's neighbour", ToHost(0).IpProtocol(89).Payload("12345678").Bytes(), KernelClass::kHost},
      {"a segment of no connection", Stray(1), KernelClass::kStray},
      {"another port of a virtual address",
       Packet().From("10.0.0.9", 40000).To("10.99.0.1", 8080).Tcp(kTcpSyn).Bytes(), KernelClass::kStray},
  };
  for (const auto& each : kCases) {
    const Outcome outcome = rig_.Send({each.frame}).front();
    ASSERT_EQ(outcome.where, "kernel input") << each.name;
    EXPECT_EQ(outcome.kernel_class, each.kernel_class) << each.name;
  }
}

// Segments of no connection, as many as an attacker likes, in no time; the neighbours' frames among them all
// go on.
TEST_F(ToKernelTest, AFloodOfStraysHasABudgetAndOthersHaveTheirs) {
  constexpr int kBursts = 1000;
  const FrameBytes bgp = ToHost(179).Tcp(kTcpAck).Bytes();
  const FrameBytes ssh = ToHost(22).Tcp(kTcpAck).Bytes();
  uint64_t strays = 0;
  for (int burst = 0; burst < kBursts; ++burst) {
    std::vector<FrameBytes> frames = {Arp(), bgp, ssh};
    while (frames.size() < 20) frames.push_back(Stray(burst * 20 + static_cast<int>(frames.size())));
    const std::vector<Outcome> outcomes = rig_.Send(frames);
    for (size_t i = 0; i < 3; ++i) ASSERT_EQ(outcomes[i].where, "kernel input") << "frame " << i;
    for (size_t i = 3; i < frames.size(); ++i) strays += outcomes[i].where == "kernel input";
  }
  const KernelBudget& budget = kKernelBudgets[static_cast<size_t>(KernelClass::kStray)];
  EXPECT_EQ(strays, budget.burst);
  EXPECT_EQ(rig_.Count(Counter::kKernelNoConnection), strays);
  EXPECT_EQ(rig_.Count(Counter::kDropKernelStray), kBursts * 17 - strays);
  EXPECT_EQ(rig_.Count(Counter::kKernelArp), kBursts);
  rig_.Advance(1);
  EXPECT_EQ(rig_.Send({Stray(1)}).front().where, "kernel input") << "a second later there is more";
}

TEST_F(ToKernelTest, EveryClassHasABudget) {
  const struct {
    FrameBytes frame;
    KernelClass kernel_class;
  } kFloods[] = {{Arp(), KernelClass::kLink},
                 {ToHost(179).Tcp(kTcpSyn).Bytes(), KernelClass::kRouting},
                 {ToHost(22).Tcp(kTcpSyn).Bytes(), KernelClass::kHost},
                 {Stray(1), KernelClass::kStray}};
  for (const auto& flood : kFloods) {
    const KernelBudget& budget = kKernelBudgets[static_cast<size_t>(flood.kernel_class)];
    const std::vector<FrameBytes> burst(kBurst, flood.frame);
    uint64_t given = 0;
    for (uint32_t sent = 0; sent < budget.burst + 200; sent += kBurst) {
      for (const Outcome& outcome : rig_.Send(burst)) given += outcome.where == "kernel input";
    }
    EXPECT_EQ(given, budget.burst);
    EXPECT_GE(rig_.Count(budget.over), 168u);
  }
}

// Rewritten packets whose next hop nobody knows.
TEST_F(ToKernelTest, WhatTheKernelIsToForwardHasABudget) {
  rig_.AddService("10.99.0.2", 80, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.77", 80)});
  const std::vector<FrameBytes> burst(kBurst,
                                      Packet().Udp().From("10.0.0.1", 1000).To("10.99.0.2", 80).Bytes());
  uint64_t given = 0;
  for (uint32_t sent = 0; sent < kForwardsBudget.burst + 200; sent += kBurst) {
    for (const Outcome& outcome : rig_.Send(burst)) given += outcome.where == "kernel output";
  }
  EXPECT_EQ(given, kForwardsBudget.burst);
  EXPECT_GE(rig_.Count(Counter::kDropKernelForwards), 168u);
}

}  // namespace
}  // namespace sluice
