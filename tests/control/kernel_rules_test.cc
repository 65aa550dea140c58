// Settings, packet filter rules and conntrack beside the kernel's IPVS, in a network namespace of the test's
// own.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "control/ipvs/conntrack.h"
#include "control/ipvs/host_ports.h"
#include "control/ipvs/kernel_settings.h"
#include "tests/support/ip.h"

namespace sluice {
namespace {

bool Shell(const std::string& command) { return std::system(command.c_str()) == 0; }

ServiceKey Key(Protocol protocol, const std::string& address, uint16_t port) {
  return ServiceKey{Endpoint{.address = Ip(address), .port = Be16::FromHost(port), .protocol = protocol}};
}

class KernelRulesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root, for a network namespace";
    ASSERT_TRUE(
        Shell("ip link set lo up; ip addr add 10.99.0.1/32 dev lo; ip addr add 10.99.0.2/32 dev lo; "
              "ip addr add fd99::1/128 dev lo nodad; ip addr add fd99::2/128 dev lo nodad"));
  }
};

// 0, or the error of connecting to something that listens on every address.
class EveryAddress {
 public:
  explicit EveryAddress(uint16_t port) : port_(port), socket_(socket(AF_INET6, SOCK_STREAM, 0)) {
    const sockaddr_in6 any{.sin6_family = AF_INET6, .sin6_port = htons(port)};
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
  }
  ~EveryAddress() { close(socket_); }
  int ConnectTo(const std::string& address) const {
    sockaddr_in6 to{.sin6_family = AF_INET6, .sin6_port = htons(port_)};
    const std::string mapped = address.find(':') == std::string::npos ? "::ffff:" + address : address;
    EXPECT_EQ(inet_pton(AF_INET6, mapped.c_str(), &to.sin6_addr), 1);
    const int client = socket(AF_INET6, SOCK_STREAM, 0);
    const int error = connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
    close(client);
    return error;
  }

 private:
  const uint16_t port_;
  const int socket_;
};

TEST_F(KernelRulesTest, HostPortsAnswerOnNoServicesAddress) {
  const EveryAddress ssh(2222), service(8080);
  HostPorts ports;
  const std::set<IpAddress> addresses = {Ip("10.99.0.1"), Ip("fd99::1")};
  const std::set<ServiceKey> services = {
      Key(Protocol::kTcp, "10.99.0.1", 8080), Key(Protocol::kTcp, "fd99::1", 8080),
      Key(Protocol::kTcp, "10.99.0.2", 9090), Key(Protocol::kUdp, "10.99.0.1", 2222)};
  ASSERT_EQ(ssh.ConnectTo("10.99.0.1"), 0);
  const absl::Status kept = ports.KeepOff(addresses, services);
  ASSERT_TRUE(kept.ok()) << kept;
  for (const std::string address : {"10.99.0.1", "fd99::1"}) {
    EXPECT_EQ(ssh.ConnectTo(address), ECONNREFUSED) << address;
    EXPECT_EQ(service.ConnectTo(address), 0) << address;
  }
  for (const std::string address : {"10.99.0.2", "fd99::2", "127.0.0.1"})
    EXPECT_EQ(ssh.ConnectTo(address), 0) << address << " is no service's alone";
  const std::set<ServiceKey> every_port = {Key(Protocol::kTcp, "10.99.0.1", 0),
                                           Key(Protocol::kTcp, "fd99::1", 0)};
  ASSERT_TRUE(ports.KeepOff(addresses, every_port).ok());
  EXPECT_EQ(ssh.ConnectTo("10.99.0.1"), 0);
  ASSERT_TRUE(ports.KeepOff({}, {}).ok());
  EXPECT_FALSE(Shell("nft list table inet sluice-host-ports 2> /dev/null")) << "nobody needs it";
}

// Of a UDP service with two servers, by destination NAT as IPVS does it.
TEST_F(KernelRulesTest, FlowsOfServersThatHaveGoneAreForgotten) {
  std::ofstream("/proc/sys/net/netfilter/nf_conntrack_acct") << 0;
  for (const std::string rules :
       {"add table inet t", "add chain inet t o '{ type nat hook output priority -100; }'",
        "add rule inet t o ip daddr 10.99.0.1 udp dport 53 dnat ip to 127.0.0.2:5353",
        "add rule inet t o ip daddr 10.99.0.1 udp dport 54 dnat ip to 127.0.0.3:5353",
        "add rule inet t o ip6 daddr fd99::1 udp dport 53 dnat ip6 to '[fd99::2]:5353'"})
    ASSERT_TRUE(Shell("nft " + rules)) << rules;
  // Somebody listens, or an ICMP error ends the flow.
  const int server = socket(AF_INET6, SOCK_DGRAM, 0);
  const sockaddr_in6 any{.sin6_family = AF_INET6, .sin6_port = htons(5353)};
  ASSERT_EQ(bind(server, reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
  const auto send_to = [](const std::string& address, uint16_t port) {
    sockaddr_in6 to{.sin6_family = AF_INET6, .sin6_port = htons(port)};
    ASSERT_EQ(inet_pton(AF_INET6, address.c_str(), &to.sin6_addr), 1);
    const int client = socket(AF_INET6, SOCK_DGRAM, 0);
    ASSERT_EQ(sendto(client, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 1);
    close(client);
  };
  send_to("::ffff:10.99.0.1", 53);
  send_to("::ffff:10.99.0.1", 53);
  send_to("::ffff:10.99.0.1", 54);
  send_to("fd99::1", 53);
  const auto server_at = [](const std::string& service, uint16_t port, const std::string& real,
                            uint16_t server_port) {
    return UdpServer{Ip(service), Be16::FromHost(port), Ip(real), Be16::FromHost(server_port)};
  };
  const auto forgotten = [](const std::set<UdpServer>& servers) {
    const absl::StatusOr<size_t> count = ForgetUdpFlows(servers);
    EXPECT_TRUE(count.ok()) << count.status();
    return count.value_or(99);
  };
  EXPECT_EQ(forgotten({server_at("10.99.0.1", 53, "127.0.0.3", 5353)}), 0u) << "another server's";
  EXPECT_EQ(forgotten({server_at("10.99.0.1", 55, "127.0.0.2", 5353)}), 0u) << "another service's";
  EXPECT_EQ(forgotten({server_at("10.99.0.1", 53, "127.0.0.2", 5353)}), 2u);
  EXPECT_EQ(forgotten({server_at("10.99.0.1", 53, "127.0.0.2", 5353)}), 0u) << "they have gone";
  EXPECT_EQ(forgotten({server_at("10.99.0.1", 0, "127.0.0.3", 0)}), 1u) << "a service of every port";
  EXPECT_EQ(forgotten({server_at("fd99::1", 53, "fd99::2", 5353)}), 1u);
  close(server);
}

TEST(GoneUdpServersTest, AreThoseThatAreNotWantedAnyMore) {
  KernelService have{.key = Key(Protocol::kUdp, "10.99.0.1", 53)};
  for (const char* server : {"10.1.0.1", "10.1.0.2"})
    have.destinations.push_back({.address = Ip(server), .port = Be16::FromHost(53)});
  KernelService wanted = have;
  std::swap(wanted.destinations[0], wanted.destinations[1]);
  EXPECT_TRUE(GoneUdpServers(&have, &wanted).empty()) << "another order is no reason";
  wanted.destinations.pop_back();
  ASSERT_EQ(GoneUdpServers(&have, &wanted).size(), 1u);
  EXPECT_EQ(GoneUdpServers(&have, &wanted)[0].server, Ip("10.1.0.1"));
  EXPECT_EQ(GoneUdpServers(&have, nullptr).size(), 2u);
  EXPECT_TRUE(GoneUdpServers(nullptr, &wanted).empty());
  have.key = Key(Protocol::kTcp, "10.99.0.1", 53);
  EXPECT_TRUE(GoneUdpServers(&have, nullptr).empty()) << "TCP ends by itself";
}

TEST(KubernetesSettingsTest, AreMadeWhereTheyAreNot) {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("settings-" + std::to_string(getpid()));
  const fs::path folder = root / "net/ipv4/vs";
  fs::create_directories(folder);
  for (const char* name : {"conntrack", "expire_nodest_conn", "expire_quiescent_template"})
    std::ofstream(folder / name) << "0\n";
  EXPECT_TRUE(HaveKubernetesSettings(root).ok());
  for (const char* name : {"conntrack", "expire_nodest_conn", "expire_quiescent_template"}) {
    int value = 0;
    std::ifstream(folder / name) >> value;
    EXPECT_EQ(value, 1) << name;
  }
  fs::remove(folder / "conntrack");
  const absl::Status lacking = HaveKubernetesSettings(root);
  EXPECT_NE(std::string(lacking.message()).find("sysctl -w net.ipv4.vs.conntrack=1"), std::string::npos)
      << lacking;
  EXPECT_FALSE(fs::exists(folder / "conntrack"));
  fs::remove_all(root);
}

}  // namespace
}  // namespace sluice
