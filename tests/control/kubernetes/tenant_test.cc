// One tenant against another: whatever a namespace's user writes into a Service, another namespace's Service
// gets what it got before.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "control/kubernetes/program.h"
#include "control/kubernetes/virtual_services.h"

namespace sluice::kubernetes {
namespace {

using testing::HasSubstr;

class TenantTest : public testing::Test {
 protected:
  // Every kind of frontend, and the endpoints of one pod.
  TenantTest() {
    victim_.name = {"shop", "web"};
    victim_.type = "LoadBalancer";
    victim_.cluster_ips = {"10.96.0.10", "fd00:96::10"};
    victim_.external_ips = {"203.0.113.5"};
    victim_.load_balancer_ips = {"198.51.100.7", "2001:db8::7"};
    victim_.ports = {{"http", v1::TCP, 80, 30080}, {"dns", v1::UDP, 53, 30053}};
    victim_.created = 1000;
    attacker_ = victim_;
    attacker_.name = {"evil", "web"};  // sorts first
    attacker_.cluster_ips = {"10.96.0.66", "fd00:96::66"};
    attacker_.external_ips.clear();
    attacker_.load_balancer_ips.clear();
    attacker_.ports = {{"http", v1::TCP, 80, 0}, {"dns", v1::UDP, 53, 0}};
    policy_.node_name = "here";
    policy_.node_addresses = {*ParseAddress("192.168.1.10")};
    policy_.node_port_addresses = policy_.node_addresses;
    policy_.local_addresses = {"192.168.1.10"};
    policy_.knows_local_clients = true;
  }

  static std::vector<SliceObject> SlicesOf(const ServiceObject& service, const std::string& v4,
                                           const std::string& v6) {
    std::vector<SliceObject> slices(2);
    for (const bool is_v6 : {false, true}) {
      SliceObject& slice = slices[is_v6];
      slice.name = {service.name.name_space, service.name.name + (is_v6 ? "-6" : "-4")};
      slice.service = service.name.name;
      slice.is_v6 = is_v6;
      slice.ports = {{"http", v1::TCP, 8080}, {"dns", v1::UDP, 5353}};
      EndpointObject& endpoint = slice.endpoints.emplace_back();
      endpoint.address = is_v6 ? v6 : v4;
      endpoint.node = "here";
    }
    return slices;
  }

  void Want(const ServiceObject& service, const std::vector<SliceObject>& slices) {
    std::vector<const SliceObject*> pointers;
    for (const SliceObject& each : slices) pointers.push_back(&each);
    Translation translation = Translate(service, pointers, policy_);
    unserved_ = translation.unserved;
    program_.Want(service.name, std::move(translation.services), translation.leaving, service.created);
  }
  void WantVictim() { Want(victim_, SlicesOf(victim_, "10.1.0.1", "fd00:1::1")); }
  void WantAttacker() { Want(attacker_, SlicesOf(attacker_, "10.1.0.66", "fd00:1::66")); }

  void Take() {
    for (auto changes = program_.NextChanges(1000); !changes.empty(); changes = program_.NextChanges(1000)) {
      for (const v1::Change& change : changes) {
        if (change.has_put_service()) {
          sluiced_[VirtualKey::Of(change.put_service().service().key())] = change.put_service().service();
        } else {
          sluiced_.erase(VirtualKey::Of(change.delete_service().key()));
        }
      }
      program_.Taken();
    }
  }
  // What sluiced has at the addresses and ports that the victim is served at.
  std::string VictimGets() {
    Take();
    std::string text;
    for (const VirtualKey& key : keys_) text += sluiced_[key].ShortDebugString() + "\n";
    return text;
  }
  std::string VictimAlone() {
    program_.WantOnly({});
    WantVictim();
    Take();
    for (const auto& [key, service] : sluiced_) keys_.push_back(key);
    EXPECT_EQ(keys_.size(), 12u);
    return VictimGets();
  }

  ServiceObject victim_, attacker_;
  NodePolicy policy_;
  Program program_;
  std::map<VirtualKey, v1::Service> sluiced_;
  std::vector<VirtualKey> keys_;
  std::vector<std::string> unserved_;
};

struct Field {
  const char* name;
  std::function<void(ServiceObject&, const ServiceObject& victim)> write;
};

std::vector<std::string> AllAddresses(const ServiceObject& victim) {
  std::vector<std::string> all = victim.cluster_ips;
  all.insert(all.end(), victim.external_ips.begin(), victim.external_ips.end());
  all.insert(all.end(), victim.load_balancer_ips.begin(), victim.load_balancer_ips.end());
  all.insert(all.end(), {"192.168.1.10", "10.1.0.1", "fd00:1::1"});
  return all;
}

const std::vector<Field>& Fields() {
  static const std::vector<Field> fields = {
      {"externalIPs", [](auto& mine, auto& victim) { mine.external_ips = AllAddresses(victim); }},
      {"externalIPs that cannot be",
       [](auto& mine, auto&) {
         mine.external_ips = {"127.0.0.1", "240.0.0.1", "0.0.0.0",  "fe80::1",
                              "::1",       "ff02::1",   "nonsense", ""};
       }},
      {"status.loadBalancer",
       [](auto& mine, auto& victim) {
         mine.load_balancer_ips = AllAddresses(victim);
         std::erase(mine.load_balancer_ips, "203.0.113.5");  // a controller gave it, which counts more
         mine.created = 2000;
       }},
      {"ports",
       [](auto& mine, auto& victim) {
         mine.external_ips = AllAddresses(victim);
         mine.ports = {{"http", v1::TCP, 80, 0}, {"a", v1::UDP, 53, 0},   {"b", v1::TCP, 30080, 0},
                       {"c", v1::UDP, 30053, 0}, {"d", v1::TCP, 8080, 0}, {"e", v1::SCTP, 80, 0}};
       }},
      {"nodePort of an older one",
       [](auto& mine, auto& victim) {
         mine.ports = victim.ports;
         mine.created = 2000;
       }},
      {"healthCheckNodePort", [](auto& mine, auto&) { mine.health_check_port = 30080; }},
      {"sessionAffinity", [](auto& mine, auto&) { mine.affinity_seconds = 86400; }},
      {"internalTrafficPolicy", [](auto& mine, auto&) { mine.is_internal_local = true; }},
      {"externalTrafficPolicy", [](auto& mine, auto&) { mine.is_external_local = true; }},
      {"loadBalancerSourceRanges", [](auto& mine, auto&) { mine.source_ranges = {"10.9.9.9/32"}; }},
      {"type", [](auto& mine, auto&) { mine.type = "ExternalName"; }},
      {"headless", [](auto& mine, auto&) { mine.cluster_ips = {"None"}; }},
      {"label service-proxy-name", [](auto& mine, auto&) { mine.is_of_another_proxy = true; }},
      {"annotations",
       [](auto& mine, auto&) {
         mine.annotations = {{"scheduler", "mh"},
                             {"forwarding", "dr"},
                             {"one-packet", "true"},
                             {"drain", "1"},
                             {"timeout-tcp", "1"},
                             {"no-endpoints", "drop"},
                             {"nonsense", std::string(100'000, '\n')}};
       }},
  };
  return fields;
}

TEST_F(TenantTest, NoFieldOfAServiceChangesWhatAnotherGets) {
  const std::string alone = VictimAlone();
  const ServiceObject plain = attacker_;
  for (const Field& field : Fields()) {
    for (const int64_t created : {int64_t{1}, int64_t{2000}}) {
      SCOPED_TRACE(field.name);
      attacker_ = plain;
      // An older external address is the attacker's own: it is claimed by nobody of higher rank.
      attacker_.created = created;
      field.write(attacker_, victim_);
      if (created == 1) std::erase(attacker_.external_ips, "203.0.113.5");
      WantAttacker();
      EXPECT_EQ(VictimGets(), alone);
      // After everything was read anew, in whatever order.
      v1::Config has;
      for (const auto& [key, service] : sluiced_) {
        if (service.has_key()) *has.add_services() = service;
      }
      program_.Begin(has, {});
      WantVictim();
      EXPECT_EQ(VictimGets(), alone);
      attacker_.cluster_ips = {"10.96.0.66"};
      program_.Want(attacker_.name, {});
      EXPECT_EQ(VictimGets(), alone);
    }
  }
}

TEST_F(TenantTest, EndpointsOfAnotherNamespaceEndNoDrain) {
  VictimAlone();
  // The attacker says of the victim's pod that it ends, and then that it is gone.
  attacker_.external_ips = AllAddresses(victim_);
  std::vector<SliceObject> slices = SlicesOf(attacker_, "10.1.0.1", "fd00:1::1");
  for (SliceObject& each : slices) each.endpoints[0].is_terminating = true;
  Want(attacker_, slices);
  Take();
  Want(attacker_, {});
  Take();
  // The victim's pod leaves, with connections.
  Want(victim_, SlicesOf(victim_, "10.1.0.2", "fd00:1::2"));
  Take();
  const v1::Service& service = sluiced_[{v1::TCP, "10.96.0.10", 80}];
  ASSERT_EQ(service.destinations_size(), 2) << service.ShortDebugString();
  EXPECT_EQ(service.destinations(1).address(), "10.1.0.1");
  EXPECT_EQ(service.destinations(1).weight(), 0u);
}

TEST_F(TenantTest, WhoLosesAnAddressIsTold) {
  VictimAlone();
  attacker_.external_ips = {"10.96.0.10"};
  attacker_.created = 1;
  WantAttacker();
  const std::vector<Program::Loss> losses = program_.Losses();
  ASSERT_EQ(losses.size(), 2u) << "TCP and UDP";
  EXPECT_EQ(losses[0].loser, attacker_.name);
  EXPECT_EQ(losses[0].winner, victim_.name);
  EXPECT_EQ(losses[0].key.address, "10.96.0.10");
  program_.Want(victim_.name, {});
  EXPECT_TRUE(program_.Losses().empty());
}

TEST_F(TenantTest, ClusterBeforeLoadBalancerBeforeExternalAndOlderBeforeYounger) {
  program_.WantOnly({});
  const auto make = [&](const char* name, int64_t created, const std::string& server) {
    ServiceObject service = attacker_;
    service.name.name = name;
    service.created = created;
    service.cluster_ips = {"10.96.1." + std::to_string(created)};
    const auto put = [this, service, server] { Want(service, SlicesOf(service, server, "fd00:1::9")); };
    return std::pair(service, put);
  };
  const auto server = [&](const char* address) {
    Take();
    return sluiced_[{v1::TCP, address, 80}].destinations(0).address();
  };
  const auto add = [&](const char* name, int64_t created, const std::string& pod,
                       std::vector<std::string> ServiceObject::*field) {
    ServiceObject service = make(name, created, pod).first;
    service.*field = {"10.96.0.77"};
    Want(service, SlicesOf(service, pod, "fd00:1::9"));
  };
  add("b", 20, "10.1.0.1", &ServiceObject::external_ips);
  EXPECT_EQ(server("10.96.0.77"), "10.1.0.1");
  add("a", 30, "10.1.0.2", &ServiceObject::external_ips);
  EXPECT_EQ(server("10.96.0.77"), "10.1.0.1") << "the older";
  add("z", 40, "10.1.0.3", &ServiceObject::load_balancer_ips);
  EXPECT_EQ(server("10.96.0.77"), "10.1.0.3") << "a load balancer's";
  add("zz", 50, "10.1.0.4", &ServiceObject::cluster_ips);
  EXPECT_EQ(server("10.96.0.77"), "10.1.0.4") << "a cluster address";
}

TEST_F(TenantTest, ExternalAddressesOfTheClusterOrTheNodeAreRefused) {
  policy_.service_ranges = {*ParsePrefix("10.96.0.0/16")};
  attacker_.external_ips = {"10.96.7.7", "192.168.1.10", "127.0.0.1", "203.0.113.9"};
  WantAttacker();
  EXPECT_THAT(unserved_,
              testing::ElementsAre(HasSubstr("external address 10.96.7.7: is one of the cluster's own"),
                                   HasSubstr("external address 192.168.1.10: is the node's own"),
                                   HasSubstr("external address 127.0.0.1: is no unicast address")));
  program_.WantOnly({attacker_.name});
  Take();
  EXPECT_TRUE(sluiced_.contains({v1::TCP, "203.0.113.9", 80}));
  EXPECT_FALSE(sluiced_.contains({v1::TCP, "192.168.1.10", 80}));
}

// As a cache of the cluster's DNS on this host.
TEST_F(TenantTest, AClusterAddressThatSomebodyElseServesHereIsFreeForNobody) {
  policy_.local_addresses.insert("10.96.0.10");
  program_.WantOnly({});
  attacker_.external_ips = {"10.96.0.10"};
  attacker_.created = 1;
  WantAttacker();
  WantVictim();
  Take();
  EXPECT_FALSE(sluiced_.contains({v1::TCP, "10.96.0.10", 80}));
}

}  // namespace
}  // namespace sluice::kubernetes
