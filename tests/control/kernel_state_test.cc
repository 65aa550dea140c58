// What netlink messages amount to. They are made here byte by byte, as the kernel makes them, and worse.
#include "control/kernel/kernel_state.h"
#include "tests/support/ip.h"

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <random>

namespace sluice {
namespace {

// One netlink message.
class NetlinkMessage {
 public:
  template <class Header>
  NetlinkMessage(uint16_t type, const Header& header, uint16_t flags = 0) {
    nlmsghdr* message = mnl_nlmsg_put_header(buffer_);
    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
    std::memcpy(mnl_nlmsg_put_extra_header(message, sizeof header), &header, sizeof header);
  }
  NetlinkMessage& V4(uint16_t type, const std::string& address) {
    mnl_attr_put_u32(get(), type, Ip(address).V4().raw);
    return *this;
  }
  NetlinkMessage& V6(uint16_t type, const std::string& address) {
    mnl_attr_put(get(), type, 16, Ip(address).bytes.data());
    return *this;
  }
  NetlinkMessage& U32(uint16_t type, uint32_t value) {
    mnl_attr_put_u32(get(), type, value);
    return *this;
  }
  NetlinkMessage& Bytes(uint16_t type, const std::vector<uint8_t>& bytes) {
    mnl_attr_put(get(), type, bytes.size(), bytes.data());
    return *this;
  }
  nlmsghdr* get() { return reinterpret_cast<nlmsghdr*>(buffer_); }

 private:
  alignas(8) char buffer_[2048] = {};
};

class KernelStateTest : public testing::Test {
 protected:
  KernelChange Link(int index, unsigned flags, uint16_t type = RTM_NEWLINK) {
    ifinfomsg header{};
    header.ifi_index = index;
    header.ifi_flags = flags;
    return state_.Apply(*NetlinkMessage(type, header)
                             .Bytes(IFLA_ADDRESS, {2, 0, 0, 0, 0, static_cast<uint8_t>(index)})
                             .U32(IFLA_MTU, 1500)
                             .get());
  }
  static rtmsg RouteHeader(uint8_t length, uint8_t type = RTN_UNICAST, uint8_t table = RT_TABLE_MAIN) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_dst_len = length;
    header.rtm_type = type;
    header.rtm_table = table;
    return header;
  }
  KernelChange Neighbour(const std::string& address, uint16_t nud, uint8_t mac,
                         uint16_t type = RTM_NEWNEIGH) {
    ndmsg header{};
    header.ndm_family = AF_INET;
    header.ndm_ifindex = 1;
    header.ndm_state = nud;
    return state_.Apply(
        *NetlinkMessage(type, header).V4(NDA_DST, address).Bytes(NDA_LLADDR, {2, 0, 0, 0, 0, mac}).get());
  }
  ForwardingSpec Spec() const { return state_.Spec({{1, 0}, {2, 1}}); }

  static constexpr unsigned kUp = IFF_UP | IFF_LOWER_UP;
  KernelState state_;
};

TEST_F(KernelStateTest, Links) {
  EXPECT_TRUE(Link(1, kUp).any);
  EXPECT_FALSE(Link(1, kUp).any) << "said twice";
  EXPECT_TRUE(Spec().links.at(1).up);
  EXPECT_EQ(Spec().links.at(1).port, 0);
  EXPECT_EQ(Spec().links.at(1).mtu, 1500);
  Link(7, kUp);
  EXPECT_EQ(Spec().links.at(7).port, kNoPort);
  const KernelChange carrier = Link(1, IFF_UP);
  EXPECT_TRUE(carrier.any);
  EXPECT_TRUE(carrier.routes_in_doubt) << "legs without a carrier are left out of routes";
  EXPECT_FALSE(Spec().links.at(1).up);
  EXPECT_TRUE(Link(1, 0).routes_in_doubt)
      << "the kernel drops routes of a link that goes down, and does not say so";
  EXPECT_TRUE(Link(1, 0, RTM_DELLINK).any);
  EXPECT_FALSE(Spec().links.contains(1));
}

TEST_F(KernelStateTest, Routes) {
  EXPECT_TRUE(
      state_
          .Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(24)).V4(RTA_DST, "10.1.0.0").U32(RTA_OIF, 1).get())
          .any);
  EXPECT_TRUE(state_
                  .Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(0))
                              .V4(RTA_GATEWAY, "10.0.0.254")
                              .U32(RTA_OIF, 2)
                              .get())
                  .any);
  EXPECT_TRUE(state_
                  .Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(32, RTN_LOCAL, RT_TABLE_LOCAL))
                              .V4(RTA_DST, "10.0.0.1")
                              .U32(RTA_OIF, 1)
                              .get())
                  .any);
  EXPECT_TRUE(
      state_
          .Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(24, RTN_BLACKHOLE)).V4(RTA_DST, "10.6.6.0").get())
          .any);
  const ForwardingSpec spec = Spec();
  ASSERT_EQ(spec.routes.size(), 4u);
  EXPECT_EQ(
      spec.routes[0],
      (RouteSpec{Ip("0.0.0.0"), 0, RouteKind::kUnicast, {{.interface = 2, .gateway = Ip("10.0.0.254")}}}));
  EXPECT_EQ(spec.routes[1], (RouteSpec{Ip("10.0.0.1"), 32, RouteKind::kLocal, {}}));
  EXPECT_EQ(spec.routes[2], (RouteSpec{Ip("10.1.0.0"), 24, RouteKind::kUnicast, {{.interface = 1}}}));
  EXPECT_EQ(spec.routes[3].kind, RouteKind::kUnreachable);
  EXPECT_TRUE(
      state_
          .Apply(*NetlinkMessage(RTM_DELROUTE, RouteHeader(24)).V4(RTA_DST, "10.1.0.0").U32(RTA_OIF, 1).get())
          .any);
  EXPECT_EQ(Spec().routes.size(), 3u);
}

TEST_F(KernelStateTest, TheLowestMetricAndTheLocalTableWin) {
  const auto route = [&](const char* gateway, uint32_t metric) {
    state_.Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(24))
                      .V4(RTA_DST, "10.1.0.0")
                      .V4(RTA_GATEWAY, gateway)
                      .U32(RTA_OIF, 1)
                      .U32(RTA_PRIORITY, metric)
                      .get());
  };
  route("10.0.0.2", 200);
  route("10.0.0.1", 100);
  ASSERT_EQ(Spec().routes.size(), 1u);
  EXPECT_EQ(Spec().routes[0].legs[0].gateway, Ip("10.0.0.1"));
  state_.Apply(*NetlinkMessage(RTM_NEWROUTE, RouteHeader(24, RTN_LOCAL, RT_TABLE_LOCAL))
                    .V4(RTA_DST, "10.1.0.0")
                    .get());
  ASSERT_EQ(Spec().routes.size(), 1u);
  EXPECT_EQ(Spec().routes[0].kind, RouteKind::kLocal);
}

TEST_F(KernelStateTest, Ipv6) {
  rtmsg route = RouteHeader(64);
  route.rtm_family = AF_INET6;
  const auto apply = [&](uint16_t type, const rtmsg& header, const std::string& prefix, const char* gateway) {
    NetlinkMessage message(type, header);
    if (header.rtm_dst_len > 0) message.V6(RTA_DST, prefix);
    if (gateway != nullptr) message.V6(RTA_GATEWAY, gateway);
    return state_.Apply(*message.U32(RTA_OIF, 1).U32(RTA_PRIORITY, 1024).get());
  };
  EXPECT_TRUE(apply(RTM_NEWROUTE, route, "2001:db8:1::", nullptr).any);
  rtmsg everything = RouteHeader(0);
  everything.rtm_family = AF_INET6;
  EXPECT_TRUE(apply(RTM_NEWROUTE, everything, "", "fe80::1").any);
  rtmsg own = RouteHeader(128, RTN_LOCAL, RT_TABLE_LOCAL);
  own.rtm_family = AF_INET6;
  EXPECT_TRUE(apply(RTM_NEWROUTE, own, "2001:db8:1::9", nullptr).any);
  const ForwardingSpec spec = Spec();
  ASSERT_EQ(spec.routes.size(), 3u);
  EXPECT_EQ(
      spec.routes[0],
      (RouteSpec{
          IpAddress::Unspecified(AddressFamily::kIpv6), 0, RouteKind::kUnicast, {{1, Ip("fe80::1"), 1}}}));
  EXPECT_EQ(spec.routes[1], (RouteSpec{Ip("2001:db8:1::"), 64, RouteKind::kUnicast, {{.interface = 1}}}));
  EXPECT_EQ(spec.routes[2].kind, RouteKind::kLocal);
  EXPECT_FALSE(apply(RTM_DELROUTE, route, "2001:db8:1::", nullptr).routes_in_doubt);
  EXPECT_EQ(Spec().routes.size(), 2u);

  ifaddrmsg address{};
  address.ifa_family = AF_INET6;
  address.ifa_index = 1;
  EXPECT_TRUE(state_.Apply(*NetlinkMessage(RTM_NEWADDR, address).V6(IFA_ADDRESS, "2001:db8:1::9").get()).any);
  EXPECT_EQ(Spec().host_addresses, std::vector<IpAddress>{Ip("2001:db8:1::9")});
  apply(RTM_NEWROUTE, route, "2001:db8:1::", nullptr);
  EXPECT_EQ(Spec().routes.at(1).source, Ip("2001:db8:1::9")) << "the host's address in that network";
  EXPECT_FALSE(state_.Apply(*NetlinkMessage(RTM_NEWADDR, address).V4(IFA_ADDRESS, "10.0.0.1").get()).any)
      << "too short to be one";

  ndmsg neighbour{};
  neighbour.ndm_family = AF_INET6;
  neighbour.ndm_ifindex = 1;
  neighbour.ndm_state = NUD_REACHABLE;
  EXPECT_TRUE(state_
                  .Apply(*NetlinkMessage(RTM_NEWNEIGH, neighbour)
                              .V6(NDA_DST, "fe80::1")
                              .Bytes(NDA_LLADDR, {2, 0, 0, 0, 0, 7})
                              .get())
                  .any);
  EXPECT_EQ(Spec().neighbours.count({1, Ip("fe80::1")}), 1u);
}

// Of a route with several legs the kernel tells of one that goes, and not of those that stay.
TEST_F(KernelStateTest, APartOfARouteOfIpv6Goes) {
  rtmsg header = RouteHeader(64);
  header.rtm_family = AF_INET6;
  std::vector<uint8_t> legs;
  for (int i = 1; i <= 2; ++i) {
    rtnexthop leg{};
    leg.rtnh_len = sizeof leg;
    leg.rtnh_ifindex = i;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&leg);
    legs.insert(legs.end(), bytes, bytes + sizeof leg);
  }
  state_.Apply(
      *NetlinkMessage(RTM_NEWROUTE, header).V6(RTA_DST, "2001:db8::").Bytes(RTA_MULTIPATH, legs).get());
  EXPECT_EQ(Spec().routes.at(0).legs.size(), 2u);
  const KernelChange gone =
      state_.Apply(*NetlinkMessage(RTM_DELROUTE, header).V6(RTA_DST, "2001:db8::").U32(RTA_OIF, 1).get());
  EXPECT_TRUE(gone.routes_in_doubt);
}

TEST_F(KernelStateTest, Vlans) {
  Link(1, kUp);
  const auto vlan = [&](int index, uint16_t id, uint16_t protocol, const std::string& kind) {
    ifinfomsg header{};
    header.ifi_index = index;
    header.ifi_flags = kUp;
    NetlinkMessage message(RTM_NEWLINK, header);
    message.Bytes(IFLA_ADDRESS, {2, 0, 0, 0, 0, 1}).U32(IFLA_MTU, 1500).U32(IFLA_LINK, 1);
    nlattr* info = mnl_attr_nest_start(message.get(), IFLA_LINKINFO);
    mnl_attr_put_strz(message.get(), IFLA_INFO_KIND, kind.c_str());
    nlattr* data = mnl_attr_nest_start(message.get(), IFLA_INFO_DATA);
    mnl_attr_put_u16(message.get(), IFLA_VLAN_ID, id);
    mnl_attr_put_u16(message.get(), IFLA_VLAN_PROTOCOL, Be16::FromHost(protocol).raw);
    mnl_attr_nest_end(message.get(), data);
    mnl_attr_nest_end(message.get(), info);
    state_.Apply(*message.get());
  };
  vlan(10, 7, 0x8100, "vlan");
  EXPECT_EQ(Spec().links.at(10).port, 0) << "its parent's";
  EXPECT_EQ(Spec().links.at(10).vlan, 7);
  vlan(11, 7, 0x88a8, "vlan");
  EXPECT_EQ(Spec().links.at(11).port, kNoPort) << "tags of a provider are not ours";
  vlan(12, 7, 0x8100, "macvlan");
  EXPECT_EQ(Spec().links.at(12).port, kNoPort);
}

TEST_F(KernelStateTest, WhatIsNotForForwardingIsLeftOut) {
  rtmsg cloned = RouteHeader(32);
  cloned.rtm_flags = RTM_F_CLONED;
  rtmsg tos = RouteHeader(24);
  tos.rtm_tos = 8;
  rtmsg v6 = RouteHeader(64);
  v6.rtm_family = AF_INET6;
  for (const rtmsg& header : {cloned, tos, v6, RouteHeader(24, RTN_MULTICAST),
                              RouteHeader(24, RTN_UNICAST, 100), RouteHeader(33)}) {
    EXPECT_FALSE(
        state_.Apply(*NetlinkMessage(RTM_NEWROUTE, header).V4(RTA_DST, "10.1.0.0").U32(RTA_OIF, 1).get())
            .any);
  }
  EXPECT_TRUE(Spec().routes.empty());
}

TEST_F(KernelStateTest, Multipath) {
  NetlinkMessage message(RTM_NEWROUTE, RouteHeader(24));
  message.V4(RTA_DST, "10.9.0.0");
  std::vector<uint8_t> legs;
  for (int i = 0; i < 3; ++i) {
    rtnexthop leg{};
    leg.rtnh_len = sizeof leg + 8;
    leg.rtnh_ifindex = i + 1;
    leg.rtnh_hops = static_cast<uint8_t>(i);
    leg.rtnh_flags = i == 1 ? RTNH_F_DEAD : 0;
    const uint32_t gateway = Ip("10.0.0." + std::to_string(i + 1)).V4().raw;
    const nlattr attribute{8, RTA_GATEWAY};
    const auto* bytes = reinterpret_cast<const uint8_t*>(&leg);
    legs.insert(legs.end(), bytes, bytes + sizeof leg);
    bytes = reinterpret_cast<const uint8_t*>(&attribute);
    legs.insert(legs.end(), bytes, bytes + sizeof attribute);
    bytes = reinterpret_cast<const uint8_t*>(&gateway);
    legs.insert(legs.end(), bytes, bytes + 4);
  }
  state_.Apply(*message.Bytes(RTA_MULTIPATH, legs).get());
  ASSERT_EQ(Spec().routes.size(), 1u);
  EXPECT_EQ(Spec().routes[0].legs, (std::vector<RouteLeg>{{1, Ip("10.0.0.1"), 1}, {3, Ip("10.0.0.3"), 3}}));
}

TEST_F(KernelStateTest, Neighbours) {
  EXPECT_FALSE(Neighbour("10.0.0.1", NUD_INCOMPLETE, 0).any);
  EXPECT_TRUE(Spec().neighbours.empty());
  EXPECT_TRUE(Neighbour("10.0.0.1", NUD_REACHABLE, 7).any);
  EXPECT_EQ(Spec().neighbours.at({1, Ip("10.0.0.1")}).bytes[5], 7);
  EXPECT_TRUE(state_.FindNeighbour({1, Ip("10.0.0.1")})->confirmed);
  EXPECT_FALSE(Neighbour("10.0.0.1", NUD_STALE, 7).any) << "still good for sending";
  EXPECT_FALSE(state_.FindNeighbour({1, Ip("10.0.0.1")})->confirmed);
  EXPECT_TRUE(Neighbour("10.0.0.1", NUD_REACHABLE, 8).any) << "another MAC address";
  EXPECT_TRUE(Neighbour("10.0.0.1", NUD_FAILED, 0).any);
  EXPECT_TRUE(Spec().neighbours.empty());
  Neighbour("10.0.0.2", NUD_PERMANENT, 9);
  EXPECT_TRUE(Neighbour("10.0.0.2", NUD_PERMANENT, 9, RTM_DELNEIGH).any);
  EXPECT_TRUE(Spec().neighbours.empty());
}

TEST_F(KernelStateTest, Addresses) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_index = 1;
  EXPECT_TRUE(state_.Apply(*NetlinkMessage(RTM_NEWADDR, header).V4(IFA_LOCAL, "10.0.0.1").get()).any);
  EXPECT_EQ(Spec().host_addresses, std::vector<IpAddress>{Ip("10.0.0.1")});
  EXPECT_TRUE(
      state_.Apply(*NetlinkMessage(RTM_DELADDR, header).V4(IFA_LOCAL, "10.0.0.1").get()).routes_in_doubt);
  EXPECT_TRUE(Spec().host_addresses.empty());
}

// Netlink comes from outside: any bytes may follow a header that says any length.
TEST_F(KernelStateTest, DamagedMessagesNeverCrash) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    NetlinkMessage message(RTM_NEWROUTE, RouteHeader(24));
    message.V4(RTA_DST, "10.1.0.0").U32(RTA_OIF, 1).Bytes(RTA_MULTIPATH, std::vector<uint8_t>(24, 8));
    constexpr uint16_t kTypes[] = {RTM_NEWLINK,  RTM_DELLINK,  RTM_NEWADDR,  RTM_DELADDR,
                                   RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEIGH, RTM_DELNEIGH};
    nlmsghdr* header = message.get();
    const uint32_t length = header->nlmsg_len;
    auto* bytes = reinterpret_cast<uint8_t*>(header);
    for (uint32_t hits = random() % 5; hits > 0; --hits)
      bytes[sizeof(nlmsghdr) + random() % (length - sizeof(nlmsghdr))] = static_cast<uint8_t>(random());
    header->nlmsg_type = kTypes[random() % std::size(kTypes)];
    header->nlmsg_len = static_cast<uint32_t>(sizeof(nlmsghdr) + random() % (length - sizeof(nlmsghdr) + 1));
    state_.Apply(*header);
  }
}

}  // namespace
}  // namespace sluice
