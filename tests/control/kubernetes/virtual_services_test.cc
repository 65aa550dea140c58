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
    for (const v1::Service& service : Do().services) {
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
  EXPECT_THAT(translation.services[0].allow_sources(), IsEmpty());
  EXPECT_THAT(translation.services[1].allow_sources(), ElementsAre("10.0.0.0/8"));
  service_.source_ranges.push_back("0.0.0.0/0");
  EXPECT_THAT(Do().services[1].allow_sources(), IsEmpty());
}

TEST_F(VirtualServicesTest, ANodeWithinTheSourceRangesMayComeAsTheLoadBalancer) {
  service_.type = "LoadBalancer";
  service_.load_balancer_ips = {"198.51.100.7"};
  service_.source_ranges = {"192.168.0.0/16"};
  EXPECT_THAT(Do().services[1].allow_sources(), ElementsAre("192.168.0.0/16"));
  policy_.node_addresses = {*ParseAddress("192.168.1.10")};
  EXPECT_THAT(Do().services[1].allow_sources(), ElementsAre("192.168.0.0/16", "198.51.100.7/32"));
}

TEST_F(VirtualServicesTest, InTheKernelPodsKeepTheirAddressTowardsClusterAddresses) {
  service_.external_ips = {"203.0.113.5"};
  policy_.local_clients = {*ParsePrefix("10.1.0.0/16"), *ParsePrefix("fd00:1::/64")};
  EXPECT_THAT(Do().services[0].unmasqueraded_sources(), IsEmpty()) << "nobody is masqueraded";
  policy_.knows_local_clients = true;
  const Translation translation = Do();
  EXPECT_THAT(translation.services[0].unmasqueraded_sources(), ElementsAre("10.1.0.0/16"));
  EXPECT_THAT(translation.services[1].unmasqueraded_sources(), IsEmpty());
  policy_.masquerade_all = true;
  EXPECT_THAT(Do().services[0].unmasqueraded_sources(), IsEmpty());
}

TEST_F(VirtualServicesTest, EndpointsOfThisNodeMayBeTheirOwnClients) {
  std::vector<bool> here;
  const Translation translation = Do();
  for (const v1::Destination& each : translation.services[0].destinations())
    here.push_back(each.on_this_host());
  EXPECT_THAT(here, ElementsAre(true, false));
}

TEST_F(VirtualServicesTest, Annotations) {
  service_.annotations = {{"scheduler", "mh"},   {"scheduler-flags", "mh-fallback,mh-port"},
                          {"forwarding", "nat"}, {"timeout-tcp", "3600"},
                          {"drain", "30"},       {"no-endpoints", "reset"}};
  const Translation translation = Do();
  EXPECT_THAT(translation.complaints, IsEmpty());
  const v1::Service& made = translation.services[0];
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
  EXPECT_EQ(translation.services[0].scheduler(), "rr");
  EXPECT_EQ(translation.services[0].drain_seconds(), 0u);
}

TEST_F(VirtualServicesTest, DirectRoutingNeedsTheSamePort) {
  service_.annotations = {{"forwarding", "dr"}};
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 NAT 2"));
  EXPECT_THAT(Do().complaints,
              ElementsAre(HasSubstr("leave the port as it is, and port 80 is served on 8080")));
  slice_.ports[0].port = 80;
  EXPECT_THAT(Reached(), ElementsAre("10.96.0.10 DR 2"));
  service_.annotations = {{"forwarding", "gre"}};
  EXPECT_EQ(Do().services[0].destinations(0).tunnel().type(), v1::GRE);
}

}  // namespace
}  // namespace sluice::kubernetes
