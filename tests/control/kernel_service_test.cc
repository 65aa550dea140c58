// What the kernel's IPVS must be told so that it has a service as we have it.
#include "control/ipvs/kernel_service.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

KernelDestination Server(int number, int weight = 1) {
  return {.address = *IpAddress::Parse(absl::StrCat("10.1.0.", number)),
          .port = Be16::FromHost(80),
          .weight = weight};
}

KernelService Service(std::vector<KernelDestination> destinations, const std::string& scheduler = "rr") {
  return {.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
          .scheduler = scheduler,
          .destinations = std::move(destinations)};
}

// "new 3", "set", "delete 1" ...
std::vector<std::string> Told(const KernelService* have, const KernelService* wanted) {
  using Kind = KernelServiceChange::Kind;
  std::vector<std::string> told;
  for (const KernelServiceChange& change : Difference(have, wanted)) {
    const std::string address = change.destination.address.ToString();
    const std::string server = address.substr(address.rfind('.') + 1);
    switch (change.kind) {
      case Kind::kNewService: told.push_back("new"); break;
      case Kind::kSetService: told.push_back("set"); break;
      case Kind::kDeleteService: told.push_back("delete"); break;
      case Kind::kNewDestination: told.push_back("new " + server); break;
      case Kind::kSetDestination: told.push_back("set " + server); break;
      case Kind::kDeleteDestination: told.push_back("delete " + server); break;
    }
  }
  return told;
}

TEST(KernelServiceTest, OnlyDifferencesAreTold) {
  const KernelService two = Service({Server(1), Server(2)});
  const KernelService three = Service({Server(1), Server(2), Server(3)});
  const KernelService heavier = Service({Server(1), Server(2, 7)});
  const KernelService other = Service({Server(1), Server(2)}, "wlc");
  EXPECT_THAT(Told(nullptr, &two), ElementsAre("new", "new 1", "new 2"));
  EXPECT_THAT(Told(&two, &two), IsEmpty());
  EXPECT_THAT(Told(&two, nullptr), ElementsAre("delete"));
  EXPECT_THAT(Told(nullptr, nullptr), IsEmpty());
  EXPECT_THAT(Told(&two, &three), ElementsAre("new 3"));
  EXPECT_THAT(Told(&three, &two), ElementsAre("delete 3"));
  EXPECT_THAT(Told(&two, &heavier), ElementsAre("set 2"));
  EXPECT_THAT(Told(&two, &other), ElementsAre("set"));
}

TEST(KernelServiceTest, WhatIsOutOfOrderIsAddedAnew) {
  const KernelService wanted = Service({Server(1), Server(2), Server(3), Server(4)});
  const KernelService without = Service({Server(1), Server(3), Server(4)});
  EXPECT_THAT(Told(&without, &wanted), ElementsAre("delete 3", "delete 4", "new 2", "new 3", "new 4"));
}

// Whatever was there, the kernel ends up with what is wanted: it puts what is added behind what there is.
TEST(KernelServiceTest, AnyDifferenceLeadsThere) {
  using Kind = KernelServiceChange::Kind;
  std::mt19937 random(3);
  const auto some = [&] {
    std::vector<KernelDestination> servers;
    for (int i = 1; i <= 6; ++i) {
      if (random() % 2 == 0) servers.push_back(Server(i, static_cast<int>(random() % 3)));
    }
    std::shuffle(servers.begin(), servers.end(), random);
    return Service(servers, random() % 2 == 0 ? "rr" : "wlc");
  };
  for (int round = 0; round < 20000; ++round) {
    const KernelService have = some(), wanted = some();
    KernelService kernel = have;
    for (const KernelServiceChange& change : Difference(&have, &wanted)) {
      const auto at =
          std::find_if(kernel.destinations.begin(), kernel.destinations.end(),
                       [&](const KernelDestination& each) { return each.IsAt(change.destination); });
      switch (change.kind) {
        case Kind::kSetService: kernel.scheduler = change.service.scheduler; break;
        case Kind::kNewDestination:
          ASSERT_EQ(at, kernel.destinations.end());
          kernel.destinations.push_back(change.destination);
          break;
        case Kind::kSetDestination:
          ASSERT_NE(at, kernel.destinations.end());
          *at = change.destination;
          break;
        case Kind::kDeleteDestination:
          ASSERT_NE(at, kernel.destinations.end());
          kernel.destinations.erase(at);
          break;
        default: FAIL();
      }
    }
    ASSERT_EQ(kernel, wanted) << round;
  }
}

v1::Service Message(const std::string& text) {
  v1::Service service;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &service)) << text;
  return service;
}

TEST(KernelServiceTest, ThereAndBack) {
  for (const char* text :
       {"key { protocol: TCP address: '10.99.0.1' port: 80 } scheduler: 'sh' scheduler_flags: FLAG_1 "
        "scheduler_flags: FLAG_2",
        "key { protocol: UDP address: 'fd99::1' port: 53 } scheduler: 'rr' one_packet: true",
        "key { fwmark: 7 family: IPV6 } scheduler: 'wlc' persistence { timeout_seconds: 300 netmask: '64' }",
        "key { protocol: TCP address: '10.99.0.1' } scheduler: 'wlc' persistence { timeout_seconds: 60 "
        "netmask: '255.255.255.0' } "
        "destinations { address: '10.1.0.1' port: 80 method: NAT weight: 3 upper_threshold: 9 "
        "lower_threshold: 4 } "
        "destinations { address: '10.1.0.2' port: 80 method: DR weight: 0 } "
        "destinations { address: '10.1.0.3' port: 80 method: TUN weight: 1 tunnel { type: GUE port: 6080 "
        "checksum: TUNNEL_CSUM } } "
        "destinations { address: '10.1.0.4' port: 80 method: TUN weight: 1 tunnel { type: GUE port: 6080 "
        "checksum: TUNNEL_REMCSUM } }"}) {
    const v1::Service service = Message(text);
    const KernelForm form = ToKernel(service);
    ASSERT_TRUE(form.service) << text;
    EXPECT_EQ(FromKernel(*form.service).ShortDebugString(), service.ShortDebugString());
  }
}

TEST(KernelServiceTest, FullNatIsNatAndMasquerade) {
  const KernelForm form =
      ToKernel(Message("key { protocol: TCP address: '10.99.0.1' port: 80 } scheduler: 'rr' "
                       "destinations { address: '10.1.0.1' method: FULLNAT weight: 1 }"));
  EXPECT_TRUE(form.needs.masquerade);
  EXPECT_EQ(form.service->destinations.at(0).method, 0u);
}

TEST(KernelServiceTest, RulesForPacketsDoTheRest) {
  const std::string key = "key { protocol: TCP address: '10.99.0.1' port: 80 } scheduler: 'rr' ";
  const std::string here = "destinations { address: '10.1.0.1' on_this_host: true weight: 1 method: ";
  PacketNeeds needs;
  EXPECT_EQ(ToKernel(Message(key + "unmasqueraded_sources: '10.0.0.0/8'")).needs, needs)
      << "nobody is masqueraded anyway";
  needs = {.masquerade = true,
           .keeps = {{*IpAddress::Parse("10.0.0.0"), *IpAddress::Parse("10.255.255.255")}},
           .own_clients = {*IpAddress::Parse("10.1.0.1")}};
  EXPECT_EQ(
      ToKernel(Message(key + "unmasqueraded_sources: '10.1.0.0/16' unmasqueraded_sources: '10.0.0.0/8'" +
                       here + "FULLNAT }"))
          .needs,
      needs)
      << "they do not overlap any more";
  needs = {.own_clients = {*IpAddress::Parse("10.1.0.1")}};
  EXPECT_EQ(ToKernel(Message(key + here + "NAT }")).needs, needs);
  EXPECT_EQ(ToKernel(Message(key + here + "DR }")).needs, PacketNeeds());
  needs = {.clients = {{{*IpAddress::Parse("10.0.0.0"), *IpAddress::Parse("10.255.255.255")}}}};
  const KernelForm guarded = ToKernel(Message(key + "allow_sources: '10.0.0.0/8'"));
  EXPECT_EQ(guarded.needs, needs);
  EXPECT_TRUE(guarded.service);
  EXPECT_THAT(guarded.lost, testing::IsEmpty());
}

TEST(KernelServiceTest, WhatTheKernelCannotDoIsSaid) {
  const std::string key = "key { protocol: TCP address: '10.99.0.1' port: 80 } scheduler: 'rr' ";
  const auto lost = [&](const std::string& text) { return ToKernel(Message(key + text)).lost.size(); };
  EXPECT_EQ(lost(""), 0u);
  EXPECT_EQ(lost("timeouts { tcp_seconds: 9 } drain_seconds: 5 no_destination: TCP_RESET"), 3u);
  EXPECT_EQ(lost("persistence { timeout_seconds: 9 strict: true }"), 1u);
  EXPECT_FALSE(ToKernel(Message("key { fwmark: 7 family: IPV4 } deny_sources: '10.0.0.0/8'")).service)
      << "better nobody than everybody";
}

}  // namespace
}  // namespace sluice
