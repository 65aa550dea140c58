// The rules of -S, as captured from ipvsadm 1.31, and back by -R.
#include "tools/sluiceadm/rules.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tools/sluiceadm/change.h"

namespace sluice {
namespace {

v1::Config ParseConfig(const std::string& text) {
  v1::Config config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

const char kConfig[] = R"(
  services { key { fwmark: 8 family: IPV6 } scheduler: "sh" }
  services { key { fwmark: 7 family: IPV4 } scheduler: "rr" persistence { timeout_seconds: 60 } }
  services { key { protocol: TCP address: "2001:db8::1" port: 80 } scheduler: "mh" scheduler_flags: FLAG_2
    persistence { timeout_seconds: 100 netmask: "64" } }
  services { key { protocol: UDP address: "10.0.0.1" port: 53 } scheduler: "sh" scheduler_flags: FLAG_1 one_packet: true
    destinations { address: "10.1.0.6" port: 53 method: TUN weight: 1 }
    destinations { address: "10.1.0.5" port: 53 method: TUN weight: 1 tunnel { type: GUE port: 6080 } } }
  services { key { protocol: TCP address: "10.0.0.1" port: 80 } scheduler: "wlc" scheduler_flags: FLAG_1
    persistence { timeout_seconds: 360 netmask: "255.255.255.0" }
    destinations { address: "10.1.0.1" port: 80 method: NAT weight: 1 upper_threshold: 10 lower_threshold: 5 } }
  timeouts { tcp_seconds: 900 tcp_fin_seconds: 120 udp_seconds: 300 })";

TEST(RulesTest, AsIpvsadmSavesThem) {
  EXPECT_EQ(PrintRules(ParseConfig(kConfig), {.numeric = true}),
            "-A -t 10.0.0.1:80 -s wlc -p 360 -M 255.255.255.0 -b flag-1\n"
            "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n"
            "-A -u 10.0.0.1:53 -s sh -o -b sh-fallback\n"
            "-a -u 10.0.0.1:53 -r 10.1.0.5:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n"
            "-a -u 10.0.0.1:53 -r 10.1.0.6:53 -i -w 1 --tun-type ipip\n"
            "-A -t [2001:db8::1]:80 -s mh -p 100 -M 64 -b mh-port\n"
            "-A -f 7 -s rr -p 60\n"
            "-A -f 8 -6 -s sh\n");
  EXPECT_NE(PrintRules(ParseConfig(kConfig), {}).find("-a -t 10.0.0.1:http -r 10.1.0.1:http"), std::string::npos);
}

// What every option of a service and of a real server says must be said again.
TEST(RulesTest, WhatOnlySluiceHasIsKept) {
  const char* rules =
      "-A -t 10.0.0.1:80 -s rr -p 60 --pe sip --strict-persistence --timeout-tcp 10 --timeout-tcpfin 11 "
      "--timeout-udp 12 "
      "--drain 30 --no-destination reset --allow 10.0.0.0/8,11.0.0.0/8 --deny 10.1.0.0/16 --laddr "
      "10.2.0.1%eth1,10.2.0.2\n"
      "-a -t 10.0.0.1:80 -r 10.1.0.1:81 --fullnat -w 7\n"
      "-A --sctp-service 10.0.0.1:80 -s wlc --no-destination drop\n"
      "-a --sctp-service 10.0.0.1:80 -r 10.1.0.2:80 -g -w 0\n"
      "-a --sctp-service 10.0.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type gre --tun-csum\n";
  std::istringstream stream(rules);
  const Rules parsed = ParseRules("ipvsadm", stream, false);
  ASSERT_FALSE(parsed.error) << parsed.error->message;
  v1::Config config;
  for (const Command& command : parsed.commands) {
    const v1::Change change = ChangeOf(command);
    if (change.has_put_service()) *config.add_services() = change.put_service().service();
    if (change.has_put_destination())
      *config.mutable_services(config.services_size() - 1)->add_destinations() =
          change.put_destination().destination();
  }
  EXPECT_EQ(PrintRules(config, {.numeric = true}), rules);
}

TEST(RulesTest, CompleteHasAllTheRest) {
  v1::Config config = ParseConfig(kConfig);
  config.mutable_services()->DeleteSubrange(0, 4);
  *config.add_fwmark_rules() =
      ParseConfig(R"(fwmark_rules { fwmark: 7 prefix: "10.99.0.0/24" first_port: 80 last_port: 90 })")
          .fwmark_rules(0);
  config.add_local_addresses()->set_address("10.2.0.9");
  config.mutable_settings()->set_drop_entry(2);
  const std::string rules = PrintRules(config, {.numeric = true, .complete = true});
  for (const char* line :
       {"--set 900 120 300\n", "--set-sysctl drop_entry=2\n", "--add-fwmark-rule 7,any,10.99.0.0/24,80-90\n",
        "--add-laddr 10.2.0.9\n", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1 -x 10 -y 5\n"}) {
    EXPECT_NE(rules.find(line), std::string::npos) << line << rules;
  }
  std::istringstream stream(rules);
  EXPECT_FALSE(ParseRules("sluiceadm", stream, false).error);
}

TEST(RulesTest, WhatIsAndIsNotARule) {
  std::istringstream stream(
      "ipvsadm -A -t 10.0.0.1:80\n\n  \n-a -t 10.0.0.1:80 -r 10.1.0.1 -m\r\n# a comment\n-C\n");
  const Rules rules = ParseRules("/usr/sbin/ipvsadm", stream, false);
  EXPECT_EQ(rules.commands.size(), 2u);
  EXPECT_EQ(rules.lines, (std::vector<int>{1, 4}));
  ASSERT_TRUE(rules.error);
  EXPECT_EQ(rules.error_line, 5);
  std::istringstream commented("# a comment\n-C\n#another\n");
  EXPECT_EQ(ParseRules("ipvsadm", commented, true).commands.size(), 1u);
  for (const char* line : {"-L", "-S", "-R", "-Z", "-h", "--stop-daemon master"}) {
    std::istringstream no_rule(line);
    EXPECT_EQ(ParseRules("ipvsadm", no_rule, false).error->status, 255) << line;
  }
}

}  // namespace
}  // namespace sluice
