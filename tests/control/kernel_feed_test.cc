// The feed follows every kind of change of the kernel's network, of both families: after each command of ip's
// it has what a feed that starts then reads. In a network namespace of the test's own.
// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/kernel_feed.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/support/ip.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

// How packets to these are forwarded is what the feed amounts to.
constexpr const char* kProbes[] = {"10.1.0.1",      "10.1.0.2", "10.1.0.3", "10.1.0.77", "10.2.0.2",
                                   "10.9.0.1",      "10.9.1.1", "10.8.0.1", "10.7.0.2",  "fd01::1",
                                   "fd01::2",       "fd01::3",  "fd01::77", "fd02::2",   "fd09::1",
                                   "fd09:0:0:1::1", "fd08::1",  "fd07::2"};

std::string TextOf(const Forwarding& forwarding) {
  std::ostringstream text;
  for (const char* probe : kProbes) {
    const IpAddress address = Ip(probe);
    text << probe << ": interface " << forwarding.InterfaceTowards(address) << ", source "
         << forwarding.SourceTowards(address).ToString();
    for (const Forwarding::Neighbour& each : forwarding.NeighboursTowards(address))
      text << ", neighbour " << each.address.ToString() << " at " << each.interface;
    const NextHop* last = nullptr;
    for (uint64_t hash = 0; hash < 8; ++hash) {
      const NextHop& hop = forwarding.hop(forwarding.Resolve(address, hash << 61 | hash << 29));
      if (&hop == std::exchange(last, &hop)) continue;
      text << "; " << static_cast<int>(hop.kind) << " port " << hop.port << " vlan " << hop.vlan << " mtu "
           << hop.mtu;
      for (const MacAddress* mac : {&hop.source, &hop.destination}) {
        text << " mac";
        for (const uint8_t byte : mac->bytes) text << ' ' << static_cast<int>(byte);
      }
    }
    text << '\n';
  }
  for (const IpAddress& address : forwarding.host_addresses()) text << "host " << address.ToString() << '\n';
  for (const uint16_t port : {0, 1}) {
    for (const uint16_t vlan : forwarding.VlansOf(port)) text << "vlan " << vlan << " over " << port << '\n';
  }
  return text.str();
}

class Followed {
 public:
  explicit Followed(const std::map<int, uint16_t>& ports) {
    auto started = KernelFeed::Start(ports, [this](std::shared_ptr<const Forwarding> forwarding) {
      const MutexLock lock(mutex_);
      text_ = TextOf(*forwarding);
    });
    EXPECT_TRUE(started.ok()) << started.status();
    feed_ = *std::move(started);
  }
  std::string Text() {
    const MutexLock lock(mutex_);
    return text_;
  }

 private:
  Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<KernelFeed> feed_;
};

class KernelFeedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root, for a network namespace";
    // No addresses that come by themselves, at times of their own.
    std::ofstream("/proc/sys/net/ipv6/conf/default/addr_gen_mode") << 1;
    for (const char* command :
         {"link set lo up", "link add va type veth peer name pa", "link add vb type veth peer name pb",
          "link set va address 02:00:00:00:00:0a", "link set vb address 02:00:00:00:00:0b", "link set va up",
          "link set vb up", "link set pa up", "link set pb up"})
      ASSERT_TRUE(Ip(command));
    ports_ = {{static_cast<int>(if_nametoindex("va")), 0}, {static_cast<int>(if_nametoindex("vb")), 1}};
  }

  static bool Ip(const std::string& command) { return std::system(("ip " + command).c_str()) == 0; }

  // After each command. One that begins with "=" changes nothing that matters for forwarding, one with "~"
  // may.
  void Follows(const std::vector<std::string>& commands) {
    Followed followed(ports_);
    for (std::string command : commands) {
      const bool stays = command[0] == '=', may_change = command[0] == '~';
      if (stays || may_change) command.erase(0, 1);
      const std::string before = Followed(ports_).Text();
      ASSERT_TRUE(Ip(command)) << command;
      // A carrier comes and goes some time after the command.
      std::string fresh;
      const auto end = std::chrono::steady_clock::now() + 10s;
      do {
        std::this_thread::sleep_for(5ms);
        fresh = Followed(ports_).Text();
      } while (((!may_change && (fresh == before) != stays) || followed.Text() != fresh) &&
               std::chrono::steady_clock::now() < end);
      if (!may_change) {
        EXPECT_EQ(fresh == before, stays) << command;
      }
      ASSERT_EQ(followed.Text(), fresh) << command;
    }
  }

  std::map<int, uint16_t> ports_;
};

TEST_F(KernelFeedTest, Links) {
  Follows({"addr add 10.1.0.1/24 dev va", "neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 nud permanent dev va",
           "link set va mtu 1400", "link set va address 02:00:00:00:00:aa", "=link set va alias other",
           "link set pa down", "link set pa up", "link set va down", "link set va up",
           "neigh replace 10.1.0.2 lladdr 02:00:00:00:01:02 nud permanent dev va",
           "=link add other type veth peer name far", "=link set other up", "=link set far up",
           "addr add 10.2.0.1/24 dev other", "link del other", "link del va"});
}

TEST_F(KernelFeedTest, LinksWithIpv6) {
  Follows({"addr add fd01::1/64 dev va nodad",
           "neigh add fd01::2 lladdr 02:00:00:00:01:02 nud permanent dev va", "link set va mtu 1400",
           "link set pa down", "link set pa up",
           "~neigh replace fd01::2 lladdr 02:00:00:00:01:02 nud permanent dev va", "link set va down",
           "~link set va up", "~addr replace fd01::1/64 dev va nodad",
           "=link add other type veth peer name far", "=link set other up", "=link set far up",
           "addr add fd02::1/64 dev other nodad", "link del other", "link del va"});
}

TEST_F(KernelFeedTest, Vlans) {
  if (!Ip("link add link va name va.7 type vlan id 7")) GTEST_SKIP() << "the kernel has no module 8021q";
  Follows({"link del va.7", "link add link va name va.7 type vlan id 7", "link set va.7 up",
           "addr add 10.7.0.1/24 dev va.7",
           "neigh add 10.7.0.2 lladdr 02:00:00:00:07:02 nud permanent dev va.7",
           "addr add fd07::1/64 dev va.7 nodad",
           "neigh add fd07::2 lladdr 02:00:00:00:07:02 nud permanent dev va.7", "link set va.7 down",
           "link del va.7"});
}

TEST_F(KernelFeedTest, Addresses) {
  Follows({"addr add 10.1.0.1/24 dev va", "addr add 10.1.0.3/24 dev va", "=addr add 10.1.0.3/32 dev vb",
           "=addr del 10.1.0.3/24 dev va", "addr del 10.1.0.3/32 dev vb", "addr add 10.2.0.1/24 dev vb",
           "addr add 10.9.0.1/32 dev lo", "addr del 10.1.0.1/24 dev va", "addr flush dev vb",
           "addr del 10.9.0.1/32 dev lo"});
}

TEST_F(KernelFeedTest, AddressesOfIpv6) {
  Follows({"addr add fd01::1/64 dev va nodad", "addr add fd01::3/64 dev va nodad",
           "=addr add fd01::3/128 dev vb nodad", "~addr del fd01::3/64 dev va", "addr del fd01::3/128 dev vb",
           "addr add fd02::1/64 dev vb nodad", "addr add fd09::1/128 dev lo", "addr del fd01::1/64 dev va",
           "addr flush dev vb", "addr del fd09::1/128 dev lo"});
}

// `a` and `b` are networks of va and vb, `c` lies behind them.
std::vector<std::string> RouteCommands(const std::string& a, const std::string& b, const std::string& c,
                                       int length, const std::string& all, const std::string& options) {
  const std::string route = c + "0/" + std::to_string(length);
  const auto neighbour = [](const std::string& address, const std::string& mac,
                            const std::string& interface) {
    return "neigh replace " + address + " lladdr 02:00:00:00:" + mac + " nud permanent dev " + interface;
  };
  return {"addr add " + a + "1/" + std::to_string(length) + " dev va" + options,
          "addr add " + b + "1/" + std::to_string(length) + " dev vb" + options,
          neighbour(a + "2", "01:02", "va"),
          neighbour(a + "3", "01:03", "va"),
          neighbour(b + "2", "02:02", "vb"),
          "route add " + all + " via " + a + "3",
          "route add " + route + " via " + a + "2",
          "route replace " + route + " via " + b + "2",
          "~route change " + route + " via " + a + "3",
          "~route add " + route + " via " + a + "2 metric 2000",
          "route del " + route + " via " + a + "3",
          "route add " + route + " via " + b + "2 metric 1000",
          "route del " + route + " metric 1000",
          "route del " + route + " metric 2000",
          "route add " + route + " nexthop via " + a + "2 weight 1 nexthop via " + b + "2 weight 3",
          "route replace " + route + " nexthop via " + a + "3 weight 2 nexthop via " + b + "2 weight 1",
          "link set vb down",
          "link set vb up",
          "~addr replace " + b + "1/" + std::to_string(length) + " dev vb" + options,
          "~" + neighbour(b + "2", "02:02", "vb"),
          "route replace " + route + " nexthop via " + a + "2 nexthop via " + b + "2",
          "link set pb down",
          "link set pb up",
          "~" + neighbour(b + "2", "02:02", "vb"),
          "route replace unreachable " + route,
          "route del unreachable " + route,
          "route add blackhole " + route,
          "route del blackhole " + route,
          "route add " + route + " dev va",
          "route del " + route + " dev va",
          "route add local " + c + "1 dev lo table local",
          "route del local " + c + "1 dev lo table local",
          "=route add " + route + " via " + a + "2 table 100",
          "=route del " + route + " via " + a + "2 table 100",
          "~route append " + all + " via " + a + "2",
          "route del " + all + " via " + a + "3",
          "route del " + all + " via " + a + "2"};
}

TEST_F(KernelFeedTest, Routes) { Follows(RouteCommands("10.1.0.", "10.2.0.", "10.9.0.", 24, "default", "")); }

TEST_F(KernelFeedTest, RoutesOfIpv6) {
  Follows(RouteCommands("fd01::", "fd02::", "fd09::", 64, "::/0", " nodad"));
}

// Several routes of one name, which the kernel tells of one by one.
TEST_F(KernelFeedTest, RoutesBesideEachOther) {
  Follows({"addr add 10.1.0.1/24 dev va", "addr add 10.2.0.1/24 dev vb", "route add 10.9.0.0/24 dev va",
           "=route append 10.9.0.0/24 dev vb", "route del 10.9.0.0/24 dev va",
           "route prepend 10.9.0.0/24 dev va", "route del 10.9.0.0/24 dev va",
           "route del 10.9.0.0/24 dev vb"});
}

TEST_F(KernelFeedTest, RoutesOfIpv6BesideEachOther) {
  Follows({"addr add fd01::1/64 dev va nodad", "addr add fd02::1/64 dev vb nodad",
           "neigh add fd01::2 lladdr 02:00:00:00:01:02 nud permanent dev va",
           "neigh add fd02::2 lladdr 02:00:00:00:02:02 nud permanent dev vb",
           "route add fd09::/64 via fd01::2", "route append fd09::/64 via fd02::2",
           "route del fd09::/64 via fd01::2", "route del fd09::/64 via fd02::2",
           "addr add fd08::5/64 dev va nodad", "addr add fd08::6/64 dev vb nodad",
           "addr del fd08::6/64 dev vb", "addr add fd08::6/64 dev vb nodad", "addr del fd08::5/64 dev va",
           "addr del fd08::6/64 dev vb"});
}

std::vector<std::string> NexthopCommands(const std::string& family, const std::string& a,
                                         const std::string& b, const std::string& c, int length,
                                         const std::string& options) {
  const std::string route = c + "0/" + std::to_string(length);
  return {"addr add " + a + "1/" + std::to_string(length) + " dev va" + options,
          "addr add " + b + "1/" + std::to_string(length) + " dev vb" + options,
          "neigh add " + a + "2 lladdr 02:00:00:00:01:02 nud permanent dev va",
          "neigh add " + a + "3 lladdr 02:00:00:00:01:03 nud permanent dev va",
          "neigh add " + b + "2 lladdr 02:00:00:00:02:02 nud permanent dev vb",
          "=" + family + "nexthop add id 1 via " + a + "2 dev va",
          "=" + family + "nexthop add id 2 via " + b + "2 dev vb",
          "=nexthop add id 3 group 1/2",
          "route add " + route + " nhid 3",
          family + "nexthop replace id 1 via " + a + "3 dev va",
          "nexthop replace id 3 group 1",
          "nexthop replace id 3 group 1/2",
          "nexthop del id 2",
          "nexthop del id 3"};
}

TEST_F(KernelFeedTest, NexthopObjects) {
  Follows(NexthopCommands("", "10.1.0.", "10.2.0.", "10.9.0.", 24, ""));
}

TEST_F(KernelFeedTest, NexthopObjectsOfIpv6) {
  Follows(NexthopCommands("-6 ", "fd01::", "fd02::", "fd09::", 64, " nodad"));
}

TEST_F(KernelFeedTest, Neighbours) {
  Follows({"addr add 10.1.0.1/24 dev va", "neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 nud permanent dev va",
           "neigh replace 10.1.0.2 lladdr 02:00:00:00:01:22 nud permanent dev va",
           "neigh replace 10.1.0.2 lladdr 02:00:00:00:01:23 nud stale dev va",
           "neigh change 10.1.0.2 nud failed dev va",
           "neigh add 10.1.0.3 lladdr 02:00:00:00:01:03 nud permanent dev va", "neigh del 10.1.0.3 dev va"});
}

TEST_F(KernelFeedTest, NeighboursOfIpv6) {
  Follows({"addr add fd01::1/64 dev va nodad",
           "neigh add fd01::2 lladdr 02:00:00:00:01:02 nud permanent dev va",
           "neigh replace fd01::2 lladdr 02:00:00:00:01:22 nud permanent dev va",
           "neigh replace fd01::2 lladdr 02:00:00:00:01:23 nud stale dev va",
           "neigh change fd01::2 nud failed dev va",
           "neigh add fd01::3 lladdr 02:00:00:00:01:03 nud permanent dev va", "neigh del fd01::3 dev va"});
}

}  // namespace
}  // namespace sluice
