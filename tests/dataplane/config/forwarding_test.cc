#include <gtest/gtest.h>

#include <random>

#include "dataplane/config/forwarding_builder.h"
#include "tests/support/ip.h"

namespace sluice {
namespace {

MacAddress Mac(uint8_t last) { return MacAddress{{2, 0, 0, 0, 0, last}}; }

class ForwardingTest : public testing::Test {
 protected:
  ForwardingTest() {
    spec_.links[1] = {.mac = Mac(1), .mtu = 1500, .up = true, .port = 0};
    spec_.links[2] = {.mac = Mac(2), .mtu = 9000, .up = true, .port = 1};
    spec_.links[3] = {.mac = Mac(3), .up = true, .port = kNoPort};
  }
  void Route(const std::string& prefix, int length, const std::vector<RouteLeg>& legs,
             RouteKind kind = RouteKind::kUnicast) {
    spec_.routes.push_back({.prefix = Ip(prefix), .prefix_length = length, .kind = kind, .legs = legs});
  }
  void Neighbour(int interface, const std::string& address, uint8_t mac) {
    spec_.neighbours[{interface, Ip(address)}] = Mac(mac);
  }
  void Build() { forwarding_ = builder_.Build(spec_); }
  NextHopId Id(const std::string& destination, uint64_t hash = 0) {
    return forwarding_->Resolve(Ip(destination), hash);
  }
  // "02:00:00:00:00:07 port 1", "kernel", "host" or "nowhere".
  std::string Way(const std::string& destination, uint64_t hash = 0) {
    const NextHop& hop = forwarding_->hop(Id(destination, hash));
    if (hop.kind == NextHopKind::kNoRoute) return "nowhere";
    if (hop.kind == NextHopKind::kKernel) return "kernel";
    if (hop.kind == NextHopKind::kHost) return "host";
    return hop.destination.ToString().substr(15) + " port " + std::to_string(hop.port);
  }

  ForwardingSpec spec_;
  ForwardingBuilder builder_;
  std::shared_ptr<const Forwarding> forwarding_;
};

TEST_F(ForwardingTest, NothingKnown) {
  forwarding_ = std::make_shared<Forwarding>();
  EXPECT_EQ(Way("10.0.0.1"), "nowhere");
  Build();
  EXPECT_EQ(Way("10.0.0.1"), "nowhere");
  EXPECT_EQ(Way("2001:db8::1"), "nowhere");
}

TEST_F(ForwardingTest, TheLongestPrefixWins) {
  Route("0.0.0.0", 0, {{.interface = 1, .gateway = Ip("10.0.0.254")}});
  Route("10.1.0.0", 16, {{.interface = 2}});
  Route("10.1.2.0", 24, {{.interface = 2, .gateway = Ip("10.1.0.9")}});
  Route("10.1.2.3", 32, {}, RouteKind::kLocal);
  Route("10.1.2.128", 25, {}, RouteKind::kUnreachable);
  Neighbour(1, "10.0.0.254", 0x10);
  Neighbour(2, "10.1.0.7", 0x20);
  Neighbour(2, "10.1.0.9", 0x30);
  Build();
  EXPECT_EQ(Way("8.8.8.8"), "10 port 0");
  EXPECT_EQ(Way("255.255.255.255"), "10 port 0");
  EXPECT_EQ(Way("0.0.0.0"), "10 port 0");
  EXPECT_EQ(Way("10.1.0.7"), "20 port 1");
  EXPECT_EQ(Way("10.1.0.8"), "kernel") << "the neighbour is unknown";
  EXPECT_EQ(Way("10.1.2.4"), "30 port 1");
  EXPECT_EQ(Way("10.1.2.3"), "host");
  EXPECT_EQ(Way("10.1.2.127"), "30 port 1");
  EXPECT_EQ(Way("10.1.2.128"), "nowhere");
  EXPECT_EQ(Way("10.1.3.0"), "kernel");
  EXPECT_EQ(Way("10.2.0.0"), "10 port 0");
  EXPECT_EQ(Way("2001:db8::1"), "nowhere") << "IPv4's default route is none for IPv6";
}

TEST_F(ForwardingTest, Ipv6HasRoutesOfItsOwn) {
  Route("::", 0, {{.interface = 1, .gateway = Ip("fe80::1")}});
  Neighbour(1, "fe80::1", 0x66);
  Build();
  EXPECT_EQ(Way("2001:db8::1"), "66 port 0");
  EXPECT_EQ(Way("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "66 port 0");
  EXPECT_EQ(Way("10.0.0.1"), "nowhere");
}

TEST_F(ForwardingTest, LinksDecide) {
  Route("10.0.0.0", 24, {{.interface = 1}});
  Route("10.0.1.0", 24, {{.interface = 3}});
  Neighbour(1, "10.0.0.1", 0x11);
  Neighbour(3, "10.0.1.1", 0x33);
  Build();
  EXPECT_EQ(Way("10.0.0.1"), "11 port 0");
  EXPECT_EQ(Way("10.0.1.1"), "kernel") << "not an interface of ours";
  const NextHop& hop = forwarding_->hop(Id("10.0.0.1"));
  EXPECT_EQ(hop.source, Mac(1));
  EXPECT_EQ(hop.mtu, 1500);
  spec_.links[1].up = false;
  Build();
  EXPECT_EQ(Way("10.0.0.1"), "nowhere");
}

TEST_F(ForwardingTest, SeveralWaysShareByWeight) {
  Route("10.9.0.0", 16,
        {{.interface = 1, .gateway = Ip("10.0.0.1"), .weight = 1},
         {.interface = 2, .gateway = Ip("10.1.0.1"), .weight = 3}});
  Neighbour(1, "10.0.0.1", 0x11);
  Neighbour(2, "10.1.0.1", 0x22);
  Build();
  std::mt19937_64 random(7);
  int first = 0;
  for (int i = 0; i < 4000; ++i) first += Way("10.9.0.1", random()) == "11 port 0";
  EXPECT_NEAR(first, 1000, 120);
  EXPECT_EQ(Way("10.9.0.1", 42), Way("10.9.0.1", 42)) << "a flow keeps its way";
  spec_.links[2].up = false;
  Build();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Way("10.9.0.1", random()), "11 port 0");
}

TEST_F(ForwardingTest, TheGenerationGrowsOnlyWhenAnIdMayBeWrong) {
  Route("10.0.0.0", 24, {{.interface = 1}});
  Neighbour(1, "10.0.0.1", 0x11);
  Build();
  uint32_t generation = forwarding_->generation();
  const NextHopId id = Id("10.0.0.1");
  const auto stays = [&] {
    Build();
    const bool same = forwarding_->generation() == generation;
    generation = forwarding_->generation();
    return same;
  };
  EXPECT_TRUE(stays());
  Neighbour(1, "10.0.0.1", 0x12);
  EXPECT_TRUE(stays()) << "a new MAC address";
  EXPECT_EQ(Way("10.0.0.1"), "12 port 0");
  spec_.links[1].mtu = 1400;
  EXPECT_TRUE(stays());
  spec_.host_addresses.push_back(Ip("10.0.0.9"));
  EXPECT_TRUE(stays());
  Neighbour(1, "10.0.0.2", 0x22);
  EXPECT_FALSE(stays()) << "a new neighbour";
  EXPECT_EQ(Id("10.0.0.1"), id) << "but old ids stay";
  spec_.neighbours.erase({1, Ip("10.0.0.2")});
  EXPECT_FALSE(stays());
  Route("10.0.0.128", 25, {{.interface = 2}});
  EXPECT_FALSE(stays());
  spec_.links[1].up = false;
  EXPECT_FALSE(stays());
}

TEST_F(ForwardingTest, IdsOfGoneNeighboursAreUsedAgain) {
  Route("10.0.0.0", 24, {{.interface = 1}});
  for (int i = 1; i <= 100; ++i) {
    spec_.neighbours.clear();
    Neighbour(1, "10.0.0." + std::to_string(i), static_cast<uint8_t>(i));
    Neighbour(1, "10.0.0." + std::to_string(i + 1), static_cast<uint8_t>(i + 1));
    Build();
    EXPECT_EQ(Way("10.0.0." + std::to_string(i)),
              Mac(static_cast<uint8_t>(i)).ToString().substr(15) + " port 0");
  }
  EXPECT_LE(forwarding_->hop_count(), 5u);
}

TEST_F(ForwardingTest, NeighboursTowards) {
  Route("10.0.0.0", 24, {{.interface = 1}});
  Route("10.9.0.0", 16,
        {{.interface = 1, .gateway = Ip("10.0.0.1")}, {.interface = 2, .gateway = Ip("10.1.0.1")}});
  Build();
  EXPECT_EQ(forwarding_->NeighboursTowards(Ip("10.0.0.7")),
            (std::vector<Forwarding::Neighbour>{{1, Ip("10.0.0.7")}}));
  EXPECT_EQ(forwarding_->NeighboursTowards(Ip("10.9.0.7")),
            (std::vector<Forwarding::Neighbour>{{1, Ip("10.0.0.1")}, {2, Ip("10.1.0.1")}}));
  EXPECT_TRUE(forwarding_->NeighboursTowards(Ip("8.8.8.8")).empty());
}

// The flat ranges against a scan of all prefixes.
TEST_F(ForwardingTest, RandomTablesAgreeWithAScan) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    spec_.routes.clear();
    spec_.neighbours.clear();
    std::map<std::pair<uint32_t, int>, uint8_t> prefixes;
    for (int i = 0; i < 60; ++i) {
      const int length = static_cast<int>(random() % 33);
      const uint32_t mask = length == 0 ? 0 : ~uint32_t{0} << (32 - length);
      prefixes[{(0x0a000000 | (random() & 0xff)) & mask, length}] = static_cast<uint8_t>(i + 1);
    }
    for (const auto& [prefix, mac] : prefixes) {
      const IpAddress gateway = IpAddress::FromV4(Be32::FromHost(0xc0a80000 + mac));
      spec_.routes.push_back({.prefix = IpAddress::FromV4(Be32::FromHost(prefix.first)),
                              .prefix_length = prefix.second,
                              .legs = {{.interface = 1, .gateway = gateway}}});
      spec_.neighbours[{1, gateway}] = Mac(mac);
    }
    Build();
    for (uint32_t address : {0u, 0x09ffffffu, 0x0a000000u, 0x0a000100u, 0xffffffffu}) {
      for (int i = 0; i < 300; ++i, address = 0x0a000000 | (random() & 0x1ff)) {
        int best = -1;
        uint8_t mac = 0;
        for (const auto& [prefix, candidate] : prefixes) {
          const uint32_t mask = prefix.second == 0 ? 0 : ~uint32_t{0} << (32 - prefix.second);
          if ((address & mask) == prefix.first && prefix.second > best) {
            best = prefix.second;
            mac = candidate;
          }
        }
        const NextHop& hop =
            forwarding_->hop(forwarding_->Resolve(IpAddress::FromV4(Be32::FromHost(address)), 0));
        ASSERT_EQ(hop.kind, best < 0 ? NextHopKind::kNoRoute : NextHopKind::kWire);
        if (best >= 0) {
          ASSERT_EQ(hop.destination, Mac(mac));
        }
      }
    }
  }
}

TEST_F(ForwardingTest, TheHostsOwnAddressOnTheWay) {
  const auto network = [&](const std::string& prefix, int interface, const std::string& source) {
    spec_.routes.push_back({.prefix = Ip(prefix),
                            .prefix_length = 24,
                            .legs = {{.interface = interface}},
                            .source = Ip(source)});
  };
  network("10.0.0.0", 1, "10.0.0.5");
  network("10.0.7.0", 1, "10.0.7.5");
  network("10.1.0.0", 2, "10.1.0.5");
  Route("0.0.0.0", 0, {{.interface = 1, .gateway = Ip("10.0.7.254")}});
  Route("10.2.0.0", 16, {{.interface = 2, .gateway = Ip("10.9.9.9")}});
  Route("10.3.0.0", 16, {{.interface = 2, .gateway = Ip("10.1.0.9")}});
  spec_.routes.back().source = Ip("10.99.0.1");
  Route("10.4.0.0", 16, {{.interface = 3}});
  Build();
  const auto source = [&](const std::string& destination) {
    return forwarding_->SourceTowards(Ip(destination)).ToString();
  };
  EXPECT_EQ(source("10.1.0.7"), "10.1.0.5");
  EXPECT_EQ(source("8.8.8.8"), "10.0.7.5") << "in the gateway's network";
  EXPECT_EQ(source("10.2.0.1"), "10.1.0.5") << "any on the interface";
  EXPECT_EQ(source("10.3.0.1"), "10.99.0.1") << "as the route says";
  EXPECT_TRUE(forwarding_->SourceTowards(Ip("10.4.0.1")).IsUnspecified());
}

}  // namespace
}  // namespace sluice
