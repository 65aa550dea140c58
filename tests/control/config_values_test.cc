// Each value of a change: what is taken, and reaches the data path, and what is refused, with which words.
#include "tests/control/config_rig.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using ConfigValuesTest = ConfigStoreTest;

TEST_F(ConfigValuesTest, WhatIsQuotedIsPrintable) {
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + R"( scheduler: "a\033[31m\n" } } })"),
              ElementsAre(HasSubstr("a\\x1b[31m\\x0a")));
}

TEST_F(ConfigValuesTest, WarnsOfServicesThatRefuseEverybody) {
  const auto response = Apply(add_ + Server(R"(address: "10.1.0.1" port: 80 weight: 0)"));
  ASSERT_TRUE(response.ok());
  EXPECT_THAT(
      std::vector<std::string>(response->warnings().begin(), response->warnings().end()),
      ElementsAre("service TCP 10.99.0.1:80: every real server has weight 0: new connections are refused"));
  EXPECT_EQ(Apply(Server(R"(address: "10.1.0.2" port: 80 weight: 1)"))->warnings_size(), 0);
}

TEST_F(ConfigValuesTest, DefaultsAreSpeltOut) {
  Changed("changes { put_service { service { " + key_ + " } } } " +
          Server(R"(address: "10.1.0.1" port: 80)"));
  const v1::Service service = store_.Config().config().services(0);
  EXPECT_EQ(service.scheduler(), "wlc");
  EXPECT_EQ(service.owner(), v1::CLI);
  EXPECT_EQ(service.destinations(0).weight(), 1u);
}

TEST_F(ConfigValuesTest, EveryFaultAtOnce) {
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

TEST_F(ConfigValuesTest, FullNat) {
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

TEST_F(ConfigValuesTest, Ipv6) {
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

TEST_F(ConfigValuesTest, PersistenceDrainAndTimeoutsReachTheDataPath) {
  Changed("changes { put_service { service { " + key_ +
          R"( persistence { timeout_seconds: 60 netmask: "255.255.255.0" strict: true }
              timeouts { tcp_seconds: 5 } drain_seconds: 30 } } })");
  const ServiceSpec& spec = published_->services.All()[0]->spec;
  EXPECT_EQ(spec.persistence, (PersistenceSpec{.timeout_seconds = 60, .prefix_length = 24, .strict = true}));
  EXPECT_EQ(spec.timeouts->tcp_seconds, 5u);
  EXPECT_EQ(spec.timeouts->udp_seconds, 0u) << "as everywhere";
  EXPECT_EQ(spec.drain_seconds, 30u);
}

TEST_F(ConfigValuesTest, EveryPortNeedsPersistence) {
  const std::string every_port =
      R"(changes { put_service { service { key { protocol: TCP address: "10.99.0.1" }  )";
  EXPECT_THAT(Refused(every_port + "} } }"), ElementsAre(HasSubstr("every port needs persistence")));
  Changed(every_port + "persistence { timeout_seconds: 60 } } } }");
  EXPECT_EQ(published_->services.All()[0]->spec.key.port, Be16{});
}

TEST_F(ConfigValuesTest, SettingsKeepWhatIsNotNamed) {
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

TEST_F(ConfigValuesTest, RulesForMarks) {
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

TEST_F(ConfigValuesTest, EverySchedulerOfIpvs) {
  for (const char* scheduler :
       {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf", "twos"}) {
    Changed("changes { put_service { service { " + key_ + " scheduler: \"" + scheduler + "\" } } }");
    EXPECT_EQ(published_->services.All()[0]->spec.scheduler, scheduler);
  }
  Changed("changes { put_service { service { " + key_ + " scheduler: \"sh\" scheduler_flags: FLAG_2 } } }");
  EXPECT_TRUE(published_->services.All()[0]->spec.flags.flag_2);
}

TEST_F(ConfigValuesTest, OnePacketSchedulingIsForUdp) {
  Changed(
      R"(changes { put_service { service { key { protocol: UDP address: "10.99.0.1" port: 53 } one_packet: true } } })");
  EXPECT_TRUE(published_->services.All()[0]->spec.one_packet);
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + " one_packet: true } } }"),
              ElementsAre(HasSubstr("only UDP services")));
}

TEST_F(ConfigValuesTest, MaglevsTableHasItsLimit) {
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

TEST_F(ConfigValuesTest, AddressesThatCannotBe) {
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

TEST_F(ConfigValuesTest, Timeouts) {
  Changed("changes { set_timeouts { tcp_seconds: 100 udp_seconds: 7 } }");
  EXPECT_EQ(published_->timeouts,
            (TimeoutSpec{.tcp_seconds = 100, .tcp_fin_seconds = 120, .udp_seconds = 7}));
  EXPECT_THAT(Refused("changes { set_timeouts { tcp_seconds: 8589935 } }"),
              ElementsAre(HasSubstr("OUT_OF_RANGE_VALUE")));
}

}  // namespace
}  // namespace sluice
