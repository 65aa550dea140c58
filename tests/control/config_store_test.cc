// Changes on their road: what is refused, with which words, and that a refusal changes nothing.
#include "control/config_store.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ConfigStoreTest : public testing::Test {
 protected:
  ConfigStoreTest()
      : publisher_({.destinations = &destinations_,
                    .publish =
                        [this](std::shared_ptr<const Snapshot> snapshot) {
                          return published_ = std::move(snapshot), absl::OkStatus();
                        },
                    .statistics = [](DestinationId) { return DestinationStatistics(); },
                    .keep_resolved = [](const std::map<IpAddress, bool>&) {}}) {}

  static v1::ApplyRequest Request(const std::string& text) {
    v1::ApplyRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
    return request;
  }
  absl::StatusOr<v1::ApplyResponse> Apply(const std::string& text) { return store_.Apply(Request(text)); }
  // The changes of a request that must succeed.
  std::vector<std::string> Changed(const std::string& text) {
    const auto response = Apply(text);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? std::vector<std::string>(response->changed().begin(), response->changed().end())
                         : std::vector<std::string>();
  }
  // "REASON field: message" of each refusal.
  std::vector<std::string> Refused(const std::string& text) {
    const v1::GetConfigResponse before = store_.Config();
    const auto response = Apply(text);
    EXPECT_FALSE(response.ok());
    EXPECT_EQ(store_.Config().SerializeAsString(), before.SerializeAsString()) << "a refusal changes nothing";
    std::vector<std::string> refused;
    const v1::Refusals refusals = RefusalsOf(response.status());
    for (const v1::Refusal& refusal : refusals.refusals()) {
      refused.push_back(v1::RefusalReason_Name(refusal.reason()) + " " + refusal.field() + ": " +
                        refusal.message());
    }
    return refused;
  }

  DestinationTable destinations_;
  std::shared_ptr<const Snapshot> published_;
  Publisher publisher_;
  ConfigStore store_{publisher_};

  const std::string key_ = R"(key { protocol: TCP address: "10.99.0.1" port: 80 })";
  const std::string service_ = R"(service { protocol: TCP address: "10.99.0.1" port: 80 })";
  const std::string add_ =
      "changes { put_service { mode: CREATE service { " + key_ + R"( scheduler: "rr" } } } )";
  std::string Server(const std::string& more, const std::string& mode = "CREATE") {
    return "changes { put_destination { mode: " + mode + " " + service_ + " destination { method: NAT " +
           more + " } } } ";
  }
};

TEST_F(ConfigStoreTest, AnOwnerReplacesWhatItOwns) {
  const auto replace = [](const std::string& owner, const std::string& config) {
    return "owner: " + owner + " changes { replace_owned { config { " + config + " } } }";
  };
  const auto service = [](int port, const std::string& more = "") {
    return R"(services { key { protocol: TCP address: "10.99.0.1" port: )" + std::to_string(port) + " } " +
           more + " } ";
  };
  const std::string server = R"(destinations { address: "10.1.0.1" port: 80 method: NAT } )";
  const std::string rule = R"(fwmark_rules { fwmark: 7 prefix: "10.99.0.0/24" } )";
  const std::string other_rule = R"(fwmark_rules { fwmark: 8 prefix: "10.98.0.0/24" } )";
  Changed(add_);  // the operator's, port 80
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81, server) + service(82) + rule)),
              ElementsAre("added rule 10.99.0.0/24 ports 0-65535 to mark 7", "added service TCP 10.99.0.1:81",
                          "added server 10.1.0.1:80 of TCP 10.99.0.1:81", "added service TCP 10.99.0.1:82"));
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81, server) + service(82) + rule)), ElementsAre());
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81) + service(83) + other_rule + rule)),
              ElementsAre("deleted rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "added rule 10.98.0.0/24 ports 0-65535 to mark 8",
                          "added rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "deleted server 10.1.0.1:80 of TCP 10.99.0.1:81", "added service TCP 10.99.0.1:83",
                          "deleted service TCP 10.99.0.1:82"));
  // What is wrong changes nothing; what is another's is named with both owners.
  EXPECT_THAT(
      Refused(replace("KUBERNETES", service(80) + service(84) + service(84))),
      ElementsAre(HasSubstr("services[0]: service TCP 10.99.0.1:80 belongs to cli: kubernetes may not"),
                  HasSubstr("services[2]: service TCP 10.99.0.1:84 is listed twice")));
  EXPECT_THAT(Changed(replace("KUBERNETES", "")),
              ElementsAre("deleted rule 10.98.0.0/24 ports 0-65535 to mark 8",
                          "deleted rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "deleted service TCP 10.99.0.1:81", "deleted service TCP 10.99.0.1:83"));
  EXPECT_EQ(store_.Config().config().services_size(), 1) << "the operator's is still there";
}

// A VLAN that is not up yet when sluiced starts must not cost the configuration.
TEST_F(ConfigStoreTest, RestoresWhatIsOfAnInterfaceThatIsAway) {
  const std::string local = R"(local_addresses { address: "10.2.0.1" interface: "nowhere0" } )";
  EXPECT_THAT(Refused("changes { replace_owned { config { " + local + " } } }"),
              ElementsAre(HasSubstr("\"nowhere0\": this host has no such interface")));
  v1::ConfigDiff kept;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "generation: 7 config { timeouts { tcp_seconds: 1 tcp_fin_seconds: 2 udp_seconds: 3 } " + local + "}",
      &kept));
  EXPECT_TRUE(store_.Restore(kept).ok());
  EXPECT_EQ(store_.Config().config().local_addresses(0).interface(), "nowhere0");
  EXPECT_EQ(store_.generation(), 7u);
  publisher_.WaitFor(7);
}

TEST_F(ConfigStoreTest, NamesOfKubernetesAreKept) {
  EXPECT_TRUE(Apply("changes { put_service { replace_destinations: true service { " + key_ +
                    " kubernetes { namespace: 'shop' service: 'cart' port: 'http' } "
                    "destinations { address: '10.1.0.1' port: 80 method: NAT endpoint: 'cart-7d9' } } } }")
                  .ok());
  const v1::GetConfigResponse config = store_.Config();
  EXPECT_EQ(config.config().services(0).kubernetes().service(), "cart");
  EXPECT_EQ(config.config().services(0).destinations(0).endpoint(), "cart-7d9");
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + " kubernetes { service: '" +
                      std::string(254, 'x') + "' } } } }"),
              ElementsAre(HasSubstr("kubernetes.service: 254 characters")));
}

TEST_F(ConfigStoreTest, WhatIsQuotedIsPrintable) {
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + R"( scheduler: "a\033[31m\n" } } })"),
              ElementsAre(HasSubstr("a\\x1b[31m\\x0a")));
}

TEST_F(ConfigStoreTest, WarnsOfServicesThatRefuseEverybody) {
  const auto response = Apply(add_ + Server(R"(address: "10.1.0.1" port: 80 weight: 0)"));
  ASSERT_TRUE(response.ok());
  EXPECT_THAT(
      std::vector<std::string>(response->warnings().begin(), response->warnings().end()),
      ElementsAre("service TCP 10.99.0.1:80: every real server has weight 0: new connections are refused"));
  EXPECT_EQ(Apply(Server(R"(address: "10.1.0.2" port: 80 weight: 1)"))->warnings_size(), 0);
}

TEST_F(ConfigStoreTest, OfManyChangesTheFirstThousandAreTold) {
  constexpr int kServices = 1003;
  std::string text;
  for (int port = 1; port <= kServices; ++port) {
    text += R"(changes { put_service { service { key { protocol: TCP address: "10.99.0.1" port: )" +
            std::to_string(port) + " } } } } ";
  }
  const std::vector<std::string> changed = Changed(text);
  ASSERT_EQ(changed.size(), 1001u);
  EXPECT_EQ(changed[999], "added service TCP 10.99.0.1:1000");
  EXPECT_EQ(changed.back(), "and 3 more");
  EXPECT_EQ(published_->services.size(), static_cast<size_t>(kServices));
}

TEST_F(ConfigStoreTest, WhatIsAppliedIsPublished) {
  EXPECT_THAT(
      Changed(add_ + Server(R"(address: "10.1.0.1" port: 8080 weight: 3)")),
      ElementsAre("added service TCP 10.99.0.1:80", "added server 10.1.0.1:8080 of TCP 10.99.0.1:80"));
  ASSERT_EQ(published_->services.size(), 1u) << "before Apply returns";
  EXPECT_EQ(published_->services.All()[0]->spec.scheduler, "rr");
  ASSERT_EQ(published_->services.All()[0]->candidates.size(), 1u);
  EXPECT_EQ(published_->services.All()[0]->candidates[0].weight, 3);
  EXPECT_EQ(store_.generation(), 1u);
}

TEST_F(ConfigStoreTest, DefaultsAreSpeltOut) {
  Changed("changes { put_service { service { " + key_ + " } } } " +
          Server(R"(address: "10.1.0.1" port: 80)"));
  const v1::Service service = store_.Config().config().services(0);
  EXPECT_EQ(service.scheduler(), "wlc");
  EXPECT_EQ(service.owner(), v1::CLI);
  EXPECT_EQ(service.destinations(0).weight(), 1u);
}

TEST_F(ConfigStoreTest, WhatIsThereAlreadyIsNoChange) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)"));
  const uint64_t generation = store_.generation();
  EXPECT_THAT(Changed("changes { put_service { service { " + key_ + R"( scheduler: "rr" } } } )" +
                      Server(R"(address: "10.1.0.1" port: 80 weight: 1)", "UPSERT")),
              ElementsAre());
  EXPECT_EQ(store_.generation(), generation);
}

TEST_F(ConfigStoreTest, ExistenceRules) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)"));
  EXPECT_THAT(
      Refused(add_),
      ElementsAre("SERVICE_EXISTS changes[0].put_service.service: service TCP 10.99.0.1:80 exists already"));
  EXPECT_THAT(Refused(Server(R"(address: "10.1.0.1" port: 80)")),
              ElementsAre(HasSubstr("DESTINATION_EXISTS")));
  EXPECT_THAT(Refused(Server(R"(address: "10.1.0.2" port: 80)", "UPDATE")),
              ElementsAre(HasSubstr("DESTINATION_NOT_FOUND")));
  EXPECT_THAT(
      Refused(R"(changes { delete_service { key { protocol: UDP address: "10.99.0.1" port: 80 } } })"),
      ElementsAre(HasSubstr("SERVICE_NOT_FOUND")));
  EXPECT_THAT(Refused("changes { delete_destination { " + service_ + R"( address: "10.1.0.2" port: 80 } })"),
              ElementsAre(HasSubstr("DESTINATION_NOT_FOUND")));
  EXPECT_THAT(
      Refused(
          R"(changes { put_destination { service { protocol: TCP address: "10.99.0.1" port: 81 } destination { address: "10.1.0.1" port: 80 method: NAT } } })"),
      ElementsAre(HasSubstr("SERVICE_NOT_DEFINED")));
}

TEST_F(ConfigStoreTest, AllOrNothing) {
  EXPECT_THAT(
      Refused(add_ + Server(R"(address: "10.1.0.1" port: 80)") +
              Server(R"(address: "10.1.0.2" port: 99999)")),
      ElementsAre("OUT_OF_RANGE_VALUE changes[2].put_destination.destination.port: 99999: must be 0..65535"));
  EXPECT_EQ(store_.generation(), 0u);
}

TEST_F(ConfigStoreTest, EveryFaultAtOnce) {
  EXPECT_THAT(
      Refused(
          R"(changes { put_service { service { key { protocol: 99 address: "10.99.0.300" port: 70000 } scheduler: "best"
                         persistence { timeout_seconds: 0 netmask: "255.0.255.0" engine: "sip" }
                         one_packet: true timeouts { tcp_seconds: 4294967295 } drain_seconds: 4294967295 } } }
                         changes { put_destination { )" +
          service_ +
          R"( destination { address: "2001:db8::1" port: 80 weight: 4294967295 lower_threshold: 5 } } })"),
      ElementsAre(HasSubstr("key.protocol: must be TCP, UDP or SCTP"),
                  HasSubstr("\"10.99.0.300\": must be an address like"),
                  HasSubstr("key.port: 70000: must be"),
                  HasSubstr("SCHEDULER_NOT_FOUND changes[0].put_service.service.scheduler: \"best\""),
                  HasSubstr("persistence.timeout_seconds: 0: must be 1.."),
                  HasSubstr("persistence.netmask: \"255.0.255.0\": must be a netmask without gaps"),
                  HasSubstr("persistence.engine: \"sip\""), HasSubstr("one_packet: true: only UDP"),
                  HasSubstr("timeouts.tcp_seconds: 4294967295: must be"),
                  HasSubstr("drain_seconds: 4294967295: must be"),
                  HasSubstr("2001:db8::1: only tunnels (method TUN) lead from IPv4"),
                  HasSubstr("OUT_OF_RANGE_VALUE"), HasSubstr("lower_threshold: 5: must not be above")));
}

TEST_F(ConfigStoreTest, FullNat) {
  Changed(R"(changes { add_local_address { address: "10.1.0.100" } })" + add_ +
          "changes { put_destination { " + service_ +
          R"( destination { address: "10.1.0.1" port: 80 method: FULLNAT } } })");
  std::vector<v1::LocalAddressInfo> infos = store_.LocalAddresses();
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].address(), "10.1.0.100");
  EXPECT_EQ(infos[0].fewest_free(), LocalPorts::kCount);
  EXPECT_EQ(infos[0].fewest_free_towards(), "TCP 10.1.0.1:80");
  EXPECT_EQ(store_.Config().config().local_addresses(0).owner(), v1::CLI);
  EXPECT_THAT(Refused(R"(changes { add_local_address { address: "10.1.0.100" } })"),
              ElementsAre(HasSubstr("LOCAL_ADDRESS_EXISTS")));
  EXPECT_THAT(Refused(R"(changes { delete_local_address { address: "10.1.0.101" } })"),
              ElementsAre(HasSubstr("LOCAL_ADDRESS_NOT_FOUND")));
  EXPECT_THAT(Refused(R"(owner: KUBERNETES changes { delete_local_address { address: "10.1.0.100" } })"),
              ElementsAre(HasSubstr("OWNED_BY_ANOTHER")));
  EXPECT_THAT(
      Refused(R"(changes { add_local_address { address: "224.0.0.1" interface: "no-such-thing" } })"),
      ElementsAre(HasSubstr("must be a unicast address"), HasSubstr("this host has no such interface")));
  EXPECT_THAT(Refused(R"(changes { put_service { replace_destinations: true service {
                key { protocol: UDP address: "10.99.0.1" port: 53 } one_packet: true
                destinations { address: "10.1.0.1" port: 53 method: FULLNAT } } } })"),
              ElementsAre(HasSubstr("FULLNAT needs connections")));
  Changed(R"(changes { delete_local_address { address: "10.1.0.100" } })");
}

TEST_F(ConfigStoreTest, Ipv6) {
  const auto service = [](const std::string& rest) {
    return R"(changes { put_service { service { key { protocol: TCP address: "2001:db8::1" port: 80 } )" +
           rest + " } } }";
  };
  const auto server = [](const std::string& address, const std::string& rest) {
    return R"(changes { put_destination { service { protocol: TCP address: "2001:db8::1" port: 80 }
                destination { address: ")" +
           address + R"(" port: 80 )" + rest + " } } }";
  };
  Changed(service(R"(persistence { timeout_seconds: 60 netmask: "56" } allow_sources: "2001:db8:5::/48")") +
          server("2001:db8:1::1", "") + server("10.1.0.1", "method: TUN tunnel { type: GRE }"));
  const Service* found =
      published_->FindService(*IpAddress::Parse("2001:db8::1"), Be16::FromHost(80), Protocol::kTcp);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->spec.persistence.prefix_length, 56);
  EXPECT_EQ(found->candidates.size(), 2u);
  EXPECT_TRUE(published_->has_ipv6);
  Changed("changes { put_service { service { key { fwmark: 7 family: IPV6 } } } }");
  EXPECT_THAT(Refused(server("10.1.0.2", "")), ElementsAre(HasSubstr("only tunnels (method TUN)")));
  EXPECT_THAT(Refused(server("fe80::1", "")), ElementsAre(HasSubstr("must be a unicast address")));
  EXPECT_THAT(Refused(server("ff02::1", "")), ElementsAre(HasSubstr("must be a unicast address")));
  EXPECT_THAT(Refused(service(R"(allow_sources: "10.0.0.0/8")")),
              ElementsAre(HasSubstr("must be of the service's family, IPv6")));
  EXPECT_THAT(Refused(service(R"(persistence { timeout_seconds: 60 netmask: "255.255.255.0" })")),
              ElementsAre(HasSubstr("the length of a prefix, 1..128")));
}

TEST_F(ConfigStoreTest, PersistenceDrainAndTimeoutsReachTheDataPath) {
  Changed("changes { put_service { service { " + key_ +
          R"( persistence { timeout_seconds: 60 netmask: "255.255.255.0" strict: true }
              timeouts { tcp_seconds: 5 } drain_seconds: 30 } } })");
  const ServiceSpec& spec = published_->services.All()[0]->spec;
  EXPECT_EQ(spec.persistence, (PersistenceSpec{.timeout_seconds = 60, .prefix_length = 24, .strict = true}));
  EXPECT_EQ(spec.timeouts->tcp_seconds, 5u);
  EXPECT_EQ(spec.timeouts->udp_seconds, 0u) << "as everywhere";
  EXPECT_EQ(spec.drain_seconds, 30u);
}

TEST_F(ConfigStoreTest, EveryPortNeedsPersistence) {
  const std::string every_port =
      R"(changes { put_service { service { key { protocol: TCP address: "10.99.0.1" }  )";
  EXPECT_THAT(Refused(every_port + "} } }"), ElementsAre(HasSubstr("every port needs persistence")));
  Changed(every_port + "persistence { timeout_seconds: 60 } } } }");
  EXPECT_EQ(published_->services.All()[0]->spec.key.port, Be16{});
}

TEST_F(ConfigStoreTest, SettingsKeepWhatIsNotNamed) {
  Changed("changes { set_settings { drop_packet: 3 am_droprate: 5 } }");
  Changed("changes { set_settings { drop_packet: 0 sloppy_tcp: true } }");
  EXPECT_EQ(published_->settings.am_droprate, 5u);
  EXPECT_EQ(published_->settings.drop_packet, 0u);
  EXPECT_TRUE(published_->settings.sloppy_tcp);
  EXPECT_EQ(published_->settings.conn_reuse_mode, 1u);
  EXPECT_TRUE(store_.Config().config().settings().sloppy_tcp());
  EXPECT_THAT(Refused("changes { set_settings { secure_tcp: 4 conn_reuse_mode: 9 } }"),
              ElementsAre("OUT_OF_RANGE_VALUE changes[0].set_settings.secure_tcp: 4: must be 0..3",
                          HasSubstr("conn_reuse_mode: 9")));
}

TEST_F(ConfigStoreTest, RulesForMarks) {
  const std::string rule =
      R"({ fwmark: 7 protocol: TCP prefix: "10.99.0.0/24" first_port: 80 last_port: 90 })";
  Changed("changes { add_fwmark_rule " + rule + " }");
  EXPECT_EQ(published_->FindService(*IpAddress::Parse("10.99.0.5"), Be16::FromHost(80), Protocol::kTcp),
            nullptr);
  Changed("changes { put_service { service { key { fwmark: 7 } } } }");
  const auto service_at = [&](const char* address, uint16_t port, Protocol protocol) {
    return published_->FindService(*IpAddress::Parse(address), Be16::FromHost(port), protocol);
  };
  ASSERT_NE(service_at("10.99.0.5", 80, Protocol::kTcp), nullptr);
  EXPECT_EQ(service_at("10.99.0.5", 90, Protocol::kTcp)->spec.key.fwmark, 7u);
  EXPECT_EQ(service_at("10.99.0.5", 91, Protocol::kTcp), nullptr);
  EXPECT_EQ(service_at("10.99.0.5", 80, Protocol::kUdp), nullptr);
  EXPECT_EQ(service_at("10.99.1.5", 80, Protocol::kTcp), nullptr);
  EXPECT_THAT(Refused("changes { add_fwmark_rule " + rule + " }"), ElementsAre(HasSubstr("RULE_EXISTS")));
  EXPECT_THAT(Refused("owner: KUBERNETES changes { delete_fwmark_rule " + rule + " }"),
              ElementsAre(HasSubstr("belongs to cli")));
  Changed("changes { delete_fwmark_rule " + rule + " }");
  EXPECT_EQ(service_at("10.99.0.5", 80, Protocol::kTcp), nullptr);
  EXPECT_THAT(Refused("changes { delete_fwmark_rule " + rule + " }"),
              ElementsAre(HasSubstr("there is no rule tcp 10.99.0.0/24 ports 80-90 to mark 7")));
  EXPECT_THAT(
      Refused(
          R"(changes { add_fwmark_rule { prefix: "10.99.0.1/24" first_port: 9 last_port: 8 protocol: 47 } })"),
      ElementsAre(HasSubstr("fwmark: must not be 0"), HasSubstr("protocol: must be"),
                  HasSubstr("without host bits"), HasSubstr("must not be less than the first")));
}

TEST_F(ConfigStoreTest, EverySchedulerOfIpvs) {
  for (const char* scheduler :
       {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf", "twos"}) {
    Changed("changes { put_service { service { " + key_ + " scheduler: \"" + scheduler + "\" } } }");
    EXPECT_EQ(published_->services.All()[0]->spec.scheduler, scheduler);
  }
  Changed("changes { put_service { service { " + key_ + " scheduler: \"sh\" scheduler_flags: FLAG_2 } } }");
  EXPECT_TRUE(published_->services.All()[0]->spec.flags.flag_2);
}

TEST_F(ConfigStoreTest, OnePacketSchedulingIsForUdp) {
  Changed(
      R"(changes { put_service { service { key { protocol: UDP address: "10.99.0.1" port: 53 } one_packet: true } } })");
  EXPECT_TRUE(published_->services.All()[0]->spec.one_packet);
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + " one_packet: true } } }"),
              ElementsAre(HasSubstr("only UDP services")));
}

TEST_F(ConfigStoreTest, MaglevsTableHasItsLimit) {
  v1::ApplyRequest request = Request("changes { put_service { replace_destinations: true service { " + key_ +
                                     " scheduler: \"mh\" } } }");
  v1::Service& service = *request.mutable_changes(0)->mutable_put_service()->mutable_service();
  for (int i = 0; i < 4094; ++i) {
    v1::Destination& destination = *service.add_destinations();
    destination.set_address("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1));
    destination.set_port(80);
    destination.set_method(v1::NAT);
  }
  EXPECT_THAT(std::string(store_.Apply(request).status().message()),
              HasSubstr("4094 real servers: mh can have 4093"));
  service.mutable_destinations()->RemoveLast();
  EXPECT_TRUE(store_.Apply(request).ok());
}

TEST_F(ConfigStoreTest, AddressesThatCannotBe) {
  for (const char* address :
       {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "", "10.0.0.1:80", "host"}) {
    EXPECT_THAT(
        Refused(std::string(R"(changes { put_service { service { key { protocol: TCP port: 80 address: ")") +
                address + "\" } } } }"),
        ElementsAre(HasSubstr("INVALID_VALUE")))
        << address;
  }
  EXPECT_THAT(Refused(add_ + Server(R"(address: "10.99.0.1" port: 80)")),
              ElementsAre(HasSubstr("packets would go round")));
}

TEST_F(ConfigStoreTest, AnEmptyChangeIsNoChange) {
  EXPECT_THAT(Refused("changes {}"), ElementsAre(HasSubstr("is empty")));
}

TEST_F(ConfigStoreTest, ExpectedGeneration) {
  Changed(add_);
  EXPECT_THAT(
      Refused("expected_generation: 7 " + Server(R"(address: "10.1.0.1" port: 80)")),
      ElementsAre("GENERATION_MISMATCH expected_generation: 7: the configuration is at generation 1"));
  Changed("expected_generation: 1 " + Server(R"(address: "10.1.0.1" port: 80)"));
}

TEST_F(ConfigStoreTest, DryRunSaysAndDoesNothing) {
  EXPECT_THAT(Changed("dry_run: true " + add_), ElementsAre("added service TCP 10.99.0.1:80"));
  EXPECT_EQ(store_.generation(), 0u);
  EXPECT_EQ(store_.Config().config().services_size(), 0);
  EXPECT_EQ(published_, nullptr);
}

TEST_F(ConfigStoreTest, OwnersAreNamedWhenTheyConflict) {
  Changed("owner: KUBERNETES " + add_);
  EXPECT_THAT(Refused("changes { delete_service { " + key_ + " } }"),
              ElementsAre("OWNED_BY_ANOTHER changes[0].delete_service: service TCP 10.99.0.1:80 belongs to "
                          "kubernetes: cli may not change it"));
  EXPECT_THAT(Refused("owner: KERNEL " + Server(R"(address: "10.1.0.1" port: 80)")),
              ElementsAre(HasSubstr("belongs to kubernetes: kernel may not")));
  Changed("owner: KUBERNETES " + Server(R"(address: "10.1.0.1" port: 80)"));
}

TEST_F(ConfigStoreTest, TheOperatorMayChangeWhatTheFileBrought) {
  Changed("owner: FILE " + add_);
  Changed(Server(R"(address: "10.1.0.1" port: 80)"));
  EXPECT_EQ(store_.Config().config().services(0).owner(), v1::FILE);
}

TEST_F(ConfigStoreTest, ReplacingDestinationsKeepsThePlaceOfThoseThatStay) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)") + Server(R"(address: "10.1.0.2" port: 80)") +
          Server(R"(address: "10.1.0.3" port: 80)"));
  EXPECT_THAT(
      Changed("changes { put_service { replace_destinations: true service { " + key_ + R"( scheduler: "rr"
      destinations { address: "10.1.0.4" port: 80 method: NAT } destinations { address: "10.1.0.3" port: 80 method: NAT weight: 5 }
      destinations { address: "10.1.0.1" port: 80 method: NAT } } } })"),
      ElementsAre("deleted server 10.1.0.2:80 of TCP 10.99.0.1:80",
                  "edited server 10.1.0.3:80 of TCP 10.99.0.1:80",
                  "added server 10.1.0.4:80 of TCP 10.99.0.1:80"));
  const v1::ListServicesResponse list = *store_.ListServices({});
  std::string order;
  for (const v1::DestinationStatus& destination : list.services(0).destinations())
    order += destination.destination().address().back();
  EXPECT_EQ(order, "431") << "the newest first";
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ +
                      R"( destinations { address: "10.1.0.4" port: 80 method: NAT } } } })"),
              ElementsAre(HasSubstr("replace_destinations")));
  EXPECT_THAT(
      Refused(
          "changes { put_service { replace_destinations: true service { " + key_ +
          R"( destinations { address: "10.1.0.4" port: 80 method: NAT } destinations { address: "10.1.0.4" port: 80 method: NAT } } } })"),
      ElementsAre(HasSubstr("listed twice")));
}

TEST_F(ConfigStoreTest, ChangesOfOneRequestSeeEachOther) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)") + "changes { delete_service { " + key_ + " } } " +
          add_);
  EXPECT_EQ(store_.Config().config().services(0).destinations_size(), 0);
  Changed("changes { delete_all {} } " + add_ + Server(R"(address: "10.1.0.9" port: 80)"));
  EXPECT_EQ(store_.Config().config().services(0).destinations(0).address(), "10.1.0.9");
  Changed("changes { delete_all {} }");
  EXPECT_EQ(store_.Config().config().services_size(), 0);
  EXPECT_TRUE(published_->services.empty());
}

TEST_F(ConfigStoreTest, Timeouts) {
  Changed("changes { set_timeouts { tcp_seconds: 100 udp_seconds: 7 } }");
  EXPECT_EQ(published_->timeouts,
            (TimeoutSpec{.tcp_seconds = 100, .tcp_fin_seconds = 120, .udp_seconds = 7}));
  EXPECT_THAT(Refused("changes { set_timeouts { tcp_seconds: 8589935 } }"),
              ElementsAre(HasSubstr("OUT_OF_RANGE_VALUE")));
}

TEST_F(ConfigStoreTest, ListingOneService) {
  Changed(add_);
  v1::ListServicesRequest request;
  *request.mutable_key() = store_.Config().config().services(0).key();
  EXPECT_EQ(store_.ListServices(request)->services_size(), 1);
  request.mutable_key()->set_port(81);
  EXPECT_EQ(RefusalsOf(store_.ListServices(request).status()).refusals(0).reason(), v1::SERVICE_NOT_FOUND);
}

TEST_F(ConfigStoreTest, ManyWritersAtOnce) {
  Changed(add_);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 1; i <= 50; ++i) {
        const std::string server =
            "address: \"10.1." + std::to_string(writer) + "." + std::to_string(i) + "\" port: 80";
        ASSERT_TRUE(Apply(Server(server)).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(store_.generation(), 201u);
  EXPECT_EQ(publisher_.Current().snapshot->services.All()[0]->candidates.size(), 200u);
}

}  // namespace
}  // namespace sluice
