#include "tools/sluiceadm/command_line.h"

#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace sluice {
namespace {

std::variant<Command, UsageError> Parse(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  return ParseCommandLine("ipvsadm", words);
}
Command Ok(const std::string& line) {
  const auto parsed = Parse(line);
  if (const auto* error = std::get_if<UsageError>(&parsed)) ADD_FAILURE() << line << ": " << error->message;
  return std::holds_alternative<Command>(parsed) ? std::get<Command>(parsed) : Command();
}
std::string Error(const std::string& line) {
  const auto parsed = Parse(line);
  const auto* error = std::get_if<UsageError>(&parsed);
  return error == nullptr ? "accepted" : std::to_string(error->status) + " " + error->message;
}

TEST(CommandLineTest, Services) {
  const Command add = Ok("-A -t 10.0.0.1:80 -s rr -b flag-1,flag-3");
  EXPECT_EQ(add.verb, Verb::kAddService);
  EXPECT_EQ(add.key->protocol(), v1::TCP);
  EXPECT_EQ(add.key->address(), "10.0.0.1");
  EXPECT_EQ(add.key->port(), 80u);
  EXPECT_EQ(add.service.scheduler(), "rr");
  EXPECT_EQ(add.service.scheduler_flags_size(), 2);
  EXPECT_EQ(Ok("--edit-service --udp-service=10.0.0.1:53").verb, Verb::kEditService);
  EXPECT_EQ(Ok("-D -u 10.0.0.1:53").key->protocol(), v1::UDP);
  EXPECT_EQ(Ok("-C").verb, Verb::kClear);
  EXPECT_FALSE(Ok("-C").force);
  EXPECT_TRUE(Ok("-C --force").force);
  EXPECT_TRUE(Ok("-R --force").force);
  EXPECT_EQ(Ok("-A -t [2001:db8::1]:80").key->address(), "2001:db8::1");
  EXPECT_EQ(Ok("-A -f 7 -6").key->family(), v1::IPV6);
}

TEST(CommandLineTest, Persistence) {
  EXPECT_EQ(Ok("-A -t 10.0.0.1:0 -p").service.persistence().timeout_seconds(), 360u);
  EXPECT_EQ(Ok("-A -t 10.0.0.1:80 -p 60 -M 255.255.255.0").service.persistence().netmask(), "255.255.255.0");
  EXPECT_EQ(Ok("-A -p -t 10.0.0.1:80").service.persistence().timeout_seconds(), 360u);
  EXPECT_EQ(Error("-A -t 10.0.0.1:80 -p 99999999"), "2 invalid timeout value `99999999' specified");
}

TEST(CommandLineTest, Servers) {
  const Command add = Ok("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 5 -x 10 -y 5");
  EXPECT_EQ(add.verb, Verb::kAddServer);
  EXPECT_EQ(add.destination.address(), "10.1.0.1");
  EXPECT_EQ(add.destination.port(), 8080u);
  EXPECT_EQ(add.destination.method(), v1::NAT);
  EXPECT_EQ(add.destination.weight(), 5u);
  EXPECT_EQ(add.destination.upper_threshold(), 10u);
  EXPECT_EQ(Ok("-e -t 10.0.0.1:80 -r 10.1.0.1 -m").destination.port(), 80u) << "the service's port";
  EXPECT_EQ(Ok("-a -t 10.0.0.1:80 -r 10.1.0.1:8080").destination.method(), v1::DR) << "the default";
  EXPECT_EQ(Ok("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i").destination.port(), 80u) << "only NAT changes ports";
  EXPECT_EQ(Ok("-a -t 10.0.0.1:80 -r 10.1.0.1:8080").destination.weight(), 1u);
  EXPECT_EQ(Ok("-d -t 10.0.0.1:80 -r 10.1.0.1:8080").destination.port(), 8080u);
}

TEST(CommandLineTest, Lists) {
  EXPECT_EQ(Ok("").verb, Verb::kList);
  const Command list = Ok("-Ln --stats --exact");
  EXPECT_TRUE(list.numeric && list.statistics && list.exact && !list.connections);
  EXPECT_TRUE(Ok("-lcn").connections);
  EXPECT_TRUE(Ok("-L -n -c").connections);
  EXPECT_TRUE(Ok("--list --nosort").unsorted);
  EXPECT_EQ(Ok("-L -t 10.0.0.1:80 -n").key->port(), 80u);
  EXPECT_TRUE(Ok("-L --timeout").show_timeouts);
}

TEST(CommandLineTest, Timeouts) {
  const Command set = Ok("--set 900 0 30");
  EXPECT_EQ(set.timeouts.tcp_seconds(), 900u);
  EXPECT_EQ(set.timeouts.udp_seconds(), 30u);
  EXPECT_EQ(Error("--set 900 120"), "2 --set option requires 3 timeout values");
}

// As captured from ipvsadm 1.31.
TEST(CommandLineTest, Messages) {
  EXPECT_EQ(Error("-A"), "2 You need to supply the 'service-address' option for the 'add-service' command");
  EXPECT_EQ(Error("-a -t 10.0.0.1:80"),
            "2 You need to supply the 'real-server' option for the 'add-server' command");
  EXPECT_EQ(Error("-A -t 10.0.0.1:80 -t 10.0.0.1:81"), "2 multiple 'service-address' options specified");
  EXPECT_EQ(Error("-a -t 10.0.0.1:80 -r 10.1.0.1 -w -1"), "2 illegal weight specified");
  EXPECT_EQ(Error("-a -t 10.0.0.1:80 -r 10.1.0.1 -w 2147483648"), "2 illegal weight specified");
  EXPECT_EQ(Error("-a -t 10.0.0.1:80 -r 10.1.0.1 -w x"), "2 illegal weight specified");
  EXPECT_EQ(Error("-A -t 10.0.0.1:65536"), "2 illegal virtual server address[:port] specified");
  EXPECT_EQ(Error("-A -t 10.0.0.1:"), "2 illegal virtual server address[:port] specified");
  EXPECT_EQ(Error("-A -t 10.0.0.256:80"), "2 illegal virtual server address[:port] specified");
  EXPECT_EQ(Error("-A -t 10.0.0.1:80 -o"), "2 One-Packet Scheduling is only for UDP virtual services");
  EXPECT_EQ(Error("-A -t 10.0.0.1"), "2 Zero port specified for non-persistent service");
  EXPECT_EQ(Error("-A -f 0"), "2 invalid fwmark value `0' specified");
  EXPECT_EQ(Error("-A -t 10.0.0.1:80 -b junk"), "2 invalid scheduler flag `junk'");
  EXPECT_EQ(Error("-a -t 10.0.0.1:80 -r [2001:db8::1]:80 -m"),
            "2 Different address family is allowed only for tunneling servers");
  EXPECT_EQ(Error("-A -D -t 10.0.0.1:80"), "2 invalid option `-D'");
  EXPECT_EQ(Error("--frobnicate"), "255 Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
  EXPECT_EQ(Error("-q"), "255 Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
  EXPECT_EQ(Error("-t 10.0.0.1:80"), "255 Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
  EXPECT_EQ(Error("-A -t"), "255 -t: missing argument");
  EXPECT_EQ(Error("-C -t 10.0.0.1:80"), "2 Illegal 'service-address' option with the 'flush' command");
  EXPECT_EQ(Error("-D -t 10.0.0.1:80 -w 1"), "2 Illegal 'weight' option with the 'delete-service' command");
}

TEST(CommandLineTest, Daemons) {
  EXPECT_EQ(Error("--start-daemon nonsense"), "2 illegal start-daemon parameter specified");
  EXPECT_EQ(Error("--stop-daemon nonsense"), "2 illegal start_daemon specified");
  EXPECT_EQ(Error("--start-daemon master --syncid 256"), "2 illegal syncid specified");
  EXPECT_EQ(Error("--start-daemon master --mcast-port 0"), "2 illegal mcast-port specified");
  EXPECT_EQ(Error("--start-daemon master --mcast-group ff::x"), "2 invalid IPv6 mcast-group `ff::x'");
}

}  // namespace
}  // namespace sluice
