// Every forwarding method, family and protocol, in both directions: what goes in and what comes out.
// Checksums are computed from scratch by the packet builder.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

struct Family {
  const char* client;
  const char* service;
  const char* server;
  const char* host;  // the balancer's own address towards the server
};
constexpr Family kV4 = {"10.0.0.1", "10.99.0.1", "10.1.0.1", "10.1.0.254"};
constexpr Family kV6 = {"fd00:a::1", "fd00:99::1", "fd00:b::1", "fd00:b::fe"};

struct Method {
  const char* name;
  ForwardingMethod method;
  TunnelSpec tunnel;
};
const Method kMethods[] = {
    {"nat", ForwardingMethod::kNat, {}},
    {"full nat", ForwardingMethod::kFullNat, {}},
    {"direct", ForwardingMethod::kDirect, {}},
    {"ipip", ForwardingMethod::kTunnel, {TunnelType::kIpip}},
    {"gre", ForwardingMethod::kTunnel, {TunnelType::kGre}},
    {"gre with checksum", ForwardingMethod::kTunnel, {TunnelType::kGre, true}},
    {"gue", ForwardingMethod::kTunnel, {TunnelType::kGue, false, Be16::FromHost(6080)}},
    {"gue with checksum", ForwardingMethod::kTunnel, {TunnelType::kGue, true, Be16::FromHost(6080)}},
};

Packet With(Protocol protocol, bool opens) {
  Packet packet;
  if (protocol == Protocol::kTcp) packet.Tcp(opens ? kTcpSyn : kTcpSyn | kTcpAck).Payload("some");
  if (protocol == Protocol::kUdp) packet.Udp().Payload(opens ? "question" : "answers");
  if (protocol == Protocol::kSctp) packet.Sctp({static_cast<uint8_t>(opens ? 1 : 2)});
  return packet;
}

std::string Size(size_t bytes) { return std::to_string(bytes); }

// `inner` in the packet that carries it.
std::string InTunnel(const TunnelSpec& tunnel, const Family& outer, bool inner_is_v6, size_t inner_length,
                     const std::string& inner) {
  const bool outer_is_v6 = std::string(outer.server).find(':') != std::string::npos;
  const size_t header = outer_is_v6 ? 40 : 20;
  const std::string ends = std::string(outer.host) + " > " + outer.server + " ";
  std::string what;
  size_t between = 0;
  if (tunnel.type == TunnelType::kIpip) what = inner_is_v6 ? "ipip6" : "ipip";
  if (tunnel.type == TunnelType::kGre) {
    what = std::string("gre ") + (tunnel.checksum ? "8000" : "0000") + (inner_is_v6 ? " 86dd" : " 0800");
    between = tunnel.checksum ? 8 : 4;
  }
  if (tunnel.type == TunnelType::kGue) {
    what = std::string("gue 6080 ") + (tunnel.checksum ? "with" : "without") + " checksum 00" +
           (inner_is_v6 ? "29" : "04") + "0000";
    between = 12;
  }
  return ends + what + " tos 00 ttl 63 len " + Size(header + between + inner_length) + " [" + inner + "]";
}

class MethodsTest : public testing::Test {
 protected:
  static ForwardingSpec WithSources() {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    for (RouteSpec& route : spec.routes) {
      if (route.legs.front().interface == 2)
        route.source = *IpAddress::Parse(route.prefix.IsV4() ? kV4.host : kV6.host);
    }
    return spec;
  }

  void Check(const Method& method, const Family& family, const Family& server_family, Protocol protocol) {
    SCOPED_TRACE(std::string(method.name) + " " + family.client + " " + server_family.server + " protocol " +
                 std::to_string(static_cast<int>(protocol)));
    PipelineRig rig;
    rig.SetForwarding(WithSources());
    const bool is_full_nat = method.method == ForwardingMethod::kFullNat;
    const bool is_nat = method.method == ForwardingMethod::kNat || is_full_nat;
    rig.SetGlobal({.local_addresses = {{*IpAddress::Parse(server_family.host)}}});
    DestinationSpec server = PipelineRig::Server(server_family.server, is_nat ? 8080 : 80);
    server.method = method.method;
    server.tunnel = method.tunnel;
    rig.AddService(family.service, 80, protocol, "rr", {server});

    const Packet question = With(protocol, true).From(family.client, 1000).To(family.service, 80);
    const Outcome to_server = rig.Send(question);
    EXPECT_EQ(to_server.where, "wire 1");
    EXPECT_EQ(ChecksumFaults(to_server.frame), "");
    const bool is_v6 = family.client == kV6.client;
    const MacAddress mac{
        {0x02, 0, 0, 0, static_cast<uint8_t>(server_family.client == kV6.client ? 0x56 : 0x51), 1}};
    EXPECT_TRUE(std::equal(mac.bytes.begin(), mac.bytes.end(), to_server.frame.begin()));
    // As the builder would have made it.
    // A worker that is alone takes the first port.
    const uint16_t local_port = is_full_nat ? 1024 : 1000;
    const char* local = is_full_nat ? family.host : family.client;
    Packet expected = With(protocol, true).From(local, local_port).Ttl(63);
    is_nat ? expected.To(family.server, 8080) : expected.To(family.service, 80);
    const std::string inner = Describe(expected.Bytes());
    const size_t length = question.Bytes().size() - 14;
    EXPECT_EQ(Describe(to_server.frame), method.method == ForwardingMethod::kTunnel
                                             ? InTunnel(method.tunnel, server_family, is_v6, length, inner)
                                             : inner);
    if (method.method != ForwardingMethod::kTunnel) {
      const FrameBytes whole = expected.Macs(kMacOfSluice, mac).Bytes();
      EXPECT_EQ(to_server.frame, whole) << "byte for byte";
    }

    // With NAT the server answers through here, in its own name; otherwise to the client, and if that comes
    // by here all the same, it passes.
    Packet answer = With(protocol, false).To(local, local_port);
    is_nat ? answer.From(family.server, 8080) : answer.From(family.service, 80);
    const Outcome to_client = rig.Send(answer, 1);
    EXPECT_EQ(to_client.where, "wire 0");
    const FrameBytes whole = With(protocol, false)
                                 .From(family.service, 80)
                                 .To(family.client, 1000)
                                 .Ttl(63)
                                 .Macs(kMacOfSluice, kMacOfClient)
                                 .Bytes();
    EXPECT_EQ(to_client.frame, whole) << Describe(to_client.frame);
  }
};

TEST_F(MethodsTest, EveryMethodFamilyAndProtocol) {
  for (const Method& method : kMethods) {
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
      Check(method, kV4, kV4, protocol);
      Check(method, kV6, kV6, protocol);
    }
  }
}

TEST_F(MethodsTest, TunnelsToServersOfTheOtherFamily) {
  for (const Method& method : kMethods) {
    if (method.method != ForwardingMethod::kTunnel) continue;
    Check(method, kV4, kV6, Protocol::kTcp);
    Check(method, kV6, kV4, Protocol::kTcp);
  }
}

}  // namespace
}  // namespace sluice
