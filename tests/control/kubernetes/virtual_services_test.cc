// What the cases of conformance.txt do not say: how endpoints are reached, annotations, exclusions, gateways.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/virtual_services.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class VirtualServicesTest : public testing::Test {
 protected:
  VirtualServicesTest() {
    service_.name = {"ns1", "web"};
    service_.cluster_ips = {"10.96.0.10"};
    service_.ports = {{"http", v1::TCP, 80, 0}};
    slice_.name = {"ns1", "web-1"};
    slice_.service = "web";
    slice_.ports = {{"http", v1::TCP, 8080}};
    for (const auto& [address, node] : {std::pair("10.1.0.1", "here"), std::pair("10.1.0.2", "there")}) {
      EndpointObject& endpoint = slice_.endpoints.emplace_back();
      endpoint.address = address;
      endpoint.node = node;
    }
    policy_.node_name = "here";
    policy_.node_port_addresses = {{"192.168.1.10", false}};
    policy_.local_addresses = {"192.168.1.10"};
  }
  Translation Do() {
    const SliceObject* slices[] = {&slice_};
    return Translate(service_, slices, policy_);
  }
  // "ADDRESS METHOD SERVERS" of each.
  std::vector<std::string> Reached() {
    std::vector<std::string> all;
    const Translation translation = Do();
    for (const auto& [service, kind, is_served] : translation.services) {
      if (!is_served) continue;
      all.push_back(service.key().address() + " " +
                    (service.destinations().empty()
                         ? "-"
                         : v1::ForwardingMethod_Name(service.destinations(0).method())) +
                    " " + std::to_string(service.destinations_size()));
    }
    return all;
  }

  ServiceObject service_;
  SliceObject slice_;
  NodePolicy policy_;
};

TEST_F(VirtualServicesTest, WhoIsMasqueraded) {
  service_.type = "LoadBalancer";
  service_.ports[0].node_port = 30080;
  service_.external_ips = {"203.0.113.5"};
  service_.load_balancer_ips = {"198.51.100.7"};
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 2", "203.0.113.5 FULLNAT 2", "198.51.100.7 FULLNAT 2",
                                     "192.168.1.10 FULLNAT 2"));
  service_.is_external_local = true;
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 2", "203.0.113.5 NAT 1", "198.51.100.7 NAT 1",
                                     "192.168.1.10 NAT 1"));
  policy_.knows_local_clients = true;
  EXPECT_EQ(Reached()[0], "10.96.0.10 FULLNAT 2");
  policy_.can_masquerade = false;
  EXPECT_EQ(Reached()[0], "10.96.0.10 NAT 2");
  policy_.has_external_ips = false;
  EXPECT_EQ(Reached().size(), 3u);
}

TEST_F(VirtualServicesTest, OnAGatewayEveryEndpointIsAsNear) {
  service_.type = "NodePort";
  service_.ports[0].node_port = 30080;
  service_.is_external_local = true;
  policy_.node_name.clear();
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 2", "192.168.1.10 NAT 2"));
}

TEST_F(VirtualServicesTest, AClusterAddressThatTheHostHasIsSomebodyElses) {
  policy_.local_addresses.insert("10.96.0.10");
  EXPECT_THAT(Reached(), IsEmpty());
  policy_.local_addresses.clear();
  policy_.excluded = {*ParsePrefix("10.96.0.0/16")};
  EXPECT_THAT(Reached(), IsEmpty());
}

TEST_F(VirtualServicesTest, SourceRangesAreTheLoadBalancersOnly) {
  service_.type = "LoadBalancer";
  service_.load_balancer_ips = {"198.51.100.7"};
  service_.source_ranges = {" 10.0.0.0/8 ", "fd00::/8"};
  const Translation translation = Do();
  EXPECT_THAT(translation.services[0].service.allow_sources(), IsEmpty());
  EXPECT_THAT(translation.services[1].service.allow_sources(), ElementsAre("10.0.0.0/8"));
  service_.source_ranges.push_back("0.0.0.0/0");
  EXPECT_THAT(Do().services[1].service.allow_sources(), IsEmpty());
}

TEST_F(VirtualServicesTest, ANodeWithinTheSourceRangesMayComeAsTheLoadBalancer) {
  service_.type = "LoadBalancer";
  service_.load_balancer_ips = {"198.51.100.7"};
  service_.source_ranges = {"192.168.0.0/16"};
  EXPECT_THAT(Do().services[1].service.allow_sources(), ElementsAre("192.168.0.0/16"));
  policy_.node_addresses = {*ParseAddress("192.168.1.10")};
  EXPECT_THAT(Do().services[1].service.allow_sources(), ElementsAre("192.168.0.0/16", "198.51.100.7/32"));
}

TEST_F(VirtualServicesTest, InTheKernelPodsKeepTheirAddressTowardsClusterAddresses) {
  service_.external_ips = {"203.0.113.5"};
  policy_.local_clients = {*ParsePrefix("10.1.0.0/16"), *ParsePrefix("fd00:1::/64")};
  EXPECT_THAT(Do().services[0].service.unmasqueraded_sources(), IsEmpty()) << "nobody is masqueraded";
  policy_.knows_local_clients = true;
  const Translation translation = Do();
  EXPECT_THAT(translation.services[0].service.unmasqueraded_sources(), ElementsAre("10.1.0.0/16"));
  EXPECT_THAT(translation.services[1].service.unmasqueraded_sources(), IsEmpty());
  policy_.masquerade_all = true;
  EXPECT_THAT(Do().services[0].service.unmasqueraded_sources(), IsEmpty());
}

TEST_F(VirtualServicesTest, EndpointsOfThisNodeMayBeTheirOwnClients) {
  std::vector<bool> here;
  const Translation translation = Do();
  for (const v1::Destination& each : translation.services[0].service.destinations())
    here.push_back(each.on_this_host());
  EXPECT_THAT(here, ElementsAre(true, false));
}

TEST_F(VirtualServicesTest, Annotations) {
  service_.annotations = {{"scheduler", "mh"},   {"scheduler-flags", "mh-fallback,mh-port"},
                          {"forwarding", "nat"}, {"timeout-tcp", "3600"},
                          {"drain", "30"},       {"no-endpoints", "reset"}};
  const Translation translation = Do();
  EXPECT_THAT(translation.complaints, IsEmpty());
  const v1::Service& made = translation.services[0].service;
  EXPECT_EQ(made.scheduler(), "mh");
  EXPECT_THAT(made.scheduler_flags(), ElementsAre(v1::FLAG_1, v1::FLAG_2));
  EXPECT_EQ(made.timeouts().tcp_seconds(), 3600u);
  EXPECT_EQ(made.drain_seconds(), 30u);
  EXPECT_EQ(made.no_destination(), v1::TCP_RESET);
}

TEST_F(VirtualServicesTest, WrongAnnotationsAreSaidAndIgnored) {
  service_.annotations = {{"scheduler", "best"}, {"drain", "0"}, {"one-packet", "yes"}, {"colour", "red"}};
  const Translation translation = Do();
  EXPECT_THAT(translation.complaints,
              testing::UnorderedElementsAre(HasSubstr("lb.sluice/scheduler: best: must be rr, wrr"),
                                            HasSubstr("lb.sluice/drain: 0: must be 1..2678400"),
                                            HasSubstr("lb.sluice/one-packet: yes: must be true or false"),
                                            HasSubstr("lb.sluice/colour: is not known")));
  EXPECT_EQ(translation.services[0].service.scheduler(), "rr");
  EXPECT_EQ(translation.services[0].service.drain_seconds(), 0u);
}

TEST_F(VirtualServicesTest, WhatIsQuotedOfAnAnnotationForgesNoLogLine) {
  service_.annotations = {{"scheduler", "rr\nsluice-kube: all is well\x1b[2J"},
                          {"drain", std::string(200'000, 'x')}};
  const Translation translation = Do();
  EXPECT_THAT(
      translation.complaints,
      testing::UnorderedElementsAre(HasSubstr("scheduler: rr\\x0asluice-kube: all is well\\x1b[2J: must be"),
                                    HasSubstr("drain: xxx")));
  for (const std::string& each : translation.complaints) EXPECT_LT(each.size(), 300u);
}

TEST_F(VirtualServicesTest, WhatSluicedWouldRefuseIsToldAndTheRestServed) {
  service_.external_ips = {"127.0.0.1", "240.0.0.1", "203.0.113.5"};
  slice_.endpoints[1].address = "127.0.0.1";
  slice_.endpoints.emplace_back().address = "224.0.0.1";
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 1", "203.0.113.5 FULLNAT 1"));
  EXPECT_THAT(Do().unserved,
              testing::UnorderedElementsAre(HasSubstr("external address 127.0.0.1: is no unicast address"),
                                            HasSubstr("external address 240.0.0.1: is no"),
                                            HasSubstr("endpoint 127.0.0.1: is no"),
                                            HasSubstr("endpoint 224.0.0.1: is no")));
}

TEST_F(VirtualServicesTest, AnEndpointThatIsTheServiceItselfIsNotServed) {
  slice_.ports[0].port = 80;
  slice_.endpoints[0].address = "10.96.0.10";
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 1"));
  EXPECT_THAT(Do().unserved, ElementsAre(HasSubstr("endpoint 10.96.0.10 port 80: is the service itself")));
}

TEST_F(VirtualServicesTest, ThreeHundredWrongAddressesAreTwentyComplaints) {
  for (int i = 0; i < 250; ++i) service_.external_ips.push_back("240.0.0." + std::to_string(i));
  EXPECT_EQ(Do().unserved.size(), 20u);
  EXPECT_EQ(Do().services.size(), 1u);
}

TEST_F(VirtualServicesTest, OnePacketAndMasqueradingDoNotGoTogether) {
  service_.ports[0].protocol = slice_.ports[0].protocol = v1::UDP;
  service_.external_ips = {"203.0.113.5"};
  service_.annotations = {{"one-packet", "true"}};
  const Translation translation = Do();
  EXPECT_TRUE(translation.services[0].service.one_packet());
  EXPECT_FALSE(translation.services[1].service.one_packet());
  EXPECT_THAT(translation.complaints,
              ElementsAre(HasSubstr("one-packet: true: masquerading needs connections")));
}

TEST_F(VirtualServicesTest, MaglevHasRoomForSoMany) {
  service_.annotations = {{"scheduler", "mh"}};
  for (int i = 0; i < 4100; ++i)
    slice_.endpoints.emplace_back().address =
        "10.2." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
  const Translation translation = Do();
  EXPECT_EQ(translation.services[0].service.scheduler(), "rr");
  EXPECT_THAT(translation.complaints, ElementsAre(HasSubstr("scheduler: mh: can have 4093 endpoints")));
}

TEST_F(VirtualServicesTest, DirectRoutingNeedsTheSamePort) {
  service_.annotations = {{"forwarding", "dr"}};
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 2"));
  EXPECT_THAT(Do().complaints,
              ElementsAre(HasSubstr("leave the port as it is, and port 80 is served on 8080")));
  slice_.ports[0].port = 80;
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 DR 2"));
  service_.annotations = {{"forwarding", "gre"}};
  EXPECT_EQ(Do().services[0].service.destinations(0).tunnel().type(), v1::GRE);
}

}  // namespace
}  // namespace sluice::kubernetes
