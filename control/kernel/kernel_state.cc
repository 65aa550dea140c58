// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/kernel_state.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <tuple>

#include "dataplane/net/headers.h"

namespace sluice {
namespace {

// The attributes of a message by type; none is trusted to have the right length.
template <int kMax>
class Attributes {
 public:
  // REQUIRES: the message holds a header of this size.
  Attributes(const nlmsghdr& message, size_t header) {
    AddAll(mnl_nlmsg_get_payload_offset(&message, header),
           static_cast<int>(mnl_nlmsg_get_payload_len(&message)) - static_cast<int>(MNL_ALIGN(header)));
  }
  // Those within another.
  explicit Attributes(const nlattr& nest) {
    AddAll(mnl_attr_get_payload(&nest), mnl_attr_get_payload_len(&nest));
  }
  // REQUIRES: rtnh_len is within the message.
  explicit Attributes(const rtnexthop& leg) {
    AddAll(RTNH_DATA(&leg), leg.rtnh_len - static_cast<int>(RTNH_LENGTH(0)));
  }

  template <class T>
  std::optional<T> Get(int type) const {
    const nlattr* attribute = found_[type];
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(T));
    return value;
  }
  // An address of this family (AF_INET, AF_INET6), as long as it must be.
  std::optional<IpAddress> GetAddress(int type, int family) const {
    const nlattr* attribute = found_[type];
    if (attribute == nullptr) return std::nullopt;
    const void* bytes = mnl_attr_get_payload(attribute);
    if (family == AF_INET6)
      return mnl_attr_get_payload_len(attribute) == 16 ? std::optional(IpAddress::FromV6(bytes))
                                                       : std::nullopt;
    if (mnl_attr_get_payload_len(attribute) != 4) return std::nullopt;
    Be32 address;
    std::memcpy(&address, bytes, sizeof address);
    return IpAddress::FromV4(address);
  }
  std::optional<MacAddress> GetMac(int type) const {
    return found_[type] != nullptr && mnl_attr_get_payload_len(found_[type]) == 6 ? Get<MacAddress>(type)
                                                                                  : std::nullopt;
  }
  const nlattr* Raw(int type) const { return found_[type]; }

 private:
  void AddAll(const void* first, int bytes) {
    for (auto* attribute = static_cast<const nlattr*>(first); mnl_attr_ok(attribute, bytes);
         attribute = mnl_attr_next(attribute)) {
      const int type = mnl_attr_get_type(attribute);
      if (type <= kMax) found_[type] = attribute;
      bytes -= static_cast<int>(MNL_ALIGN(attribute->nla_len));
    }
  }

  const nlattr* found_[kMax + 1] = {};
};

// nullptr if the message is too short for its kind.
template <class Header>
const Header* HeaderOf(const nlmsghdr& message) {
  return mnl_nlmsg_get_payload_len(&message) < sizeof(Header)
             ? nullptr
             : static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

RouteLeg LegOf(const Attributes<RTA_MAX>& attributes, int family, int interface, uint32_t weight) {
  RouteLeg leg{
      .interface = interface, .gateway = attributes.GetAddress(RTA_GATEWAY, family), .weight = weight};
  // A gateway of the other family (RTA_VIA): an address that is nobody's neighbour here leaves it to the
  // kernel.
  if (attributes.Raw(RTA_VIA) != nullptr) leg.gateway = IpAddress{};
  return leg;
}

std::vector<RouteLeg> LegsOf(const Attributes<RTA_MAX>& attributes, int family) {
  std::vector<RouteLeg> legs;
  if (const std::optional<int> interface = attributes.Get<int>(RTA_OIF))
    legs.push_back(LegOf(attributes, family, *interface, 1));
  const nlattr* multipath = attributes.Raw(RTA_MULTIPATH);
  if (multipath == nullptr) return legs;
  const auto* leg = static_cast<const rtnexthop*>(mnl_attr_get_payload(multipath));
  int rest = mnl_attr_get_payload_len(multipath);
  while (rest >= static_cast<int>(sizeof(rtnexthop)) && leg->rtnh_len >= sizeof(rtnexthop) &&
         leg->rtnh_len <= rest) {
    if ((leg->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) == 0) {
      legs.push_back(LegOf(Attributes<RTA_MAX>(*leg), family, leg->rtnh_ifindex, leg->rtnh_hops + 1u));
    }
    rest -= static_cast<int>(RTNH_ALIGN(leg->rtnh_len));
    leg = RTNH_NEXT(leg);
  }
  return legs;
}

std::optional<RouteKind> KindOf(uint8_t type) {
  switch (type) {
    case RTN_UNICAST: return RouteKind::kUnicast;
    case RTN_LOCAL:
    case RTN_BROADCAST:
    case RTN_ANYCAST: return RouteKind::kLocal;
    case RTN_UNREACHABLE:
    case RTN_BLACKHOLE:
    case RTN_PROHIBIT: return RouteKind::kUnreachable;
    default: return std::nullopt;
  }
}

bool HasLegsOf(const RouteSpec& route, const RouteSpec& other) {
  return std::all_of(other.legs.begin(), other.legs.end(), [&](const RouteLeg& leg) {
    return std::find(route.legs.begin(), route.legs.end(), leg) != route.legs.end();
  });
}

// Of IPv6 the kernel tells of them in another order than it lists them.
void SortLegs(std::vector<RouteLeg>& legs) {
  std::sort(legs.begin(), legs.end(), [](const RouteLeg& a, const RouteLeg& b) {
    return std::tie(a.interface, a.gateway, a.weight) < std::tie(b.interface, b.gateway, b.weight);
  });
}

bool IsLinkLocal(const IpAddress& address) {
  return !address.IsV4() && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

bool IsInternet(int family) { return family == AF_INET || family == AF_INET6; }

// 0: it is no VLAN, or none of those that are told by 802.1Q's tag.
uint16_t VlanOf(const Attributes<IFLA_MAX>& link) {
  const nlattr* info = link.Raw(IFLA_LINKINFO);
  if (info == nullptr) return 0;
  const Attributes<IFLA_INFO_MAX> about(*info);
  const nlattr* kind = about.Raw(IFLA_INFO_KIND);
  constexpr std::string_view kVlan("vlan", 5);  // with its end
  if (kind == nullptr || about.Raw(IFLA_INFO_DATA) == nullptr ||
      std::string_view(mnl_attr_get_str(kind), mnl_attr_get_payload_len(kind)) != kVlan) {
    return 0;
  }
  const Attributes<IFLA_VLAN_MAX> vlan(*about.Raw(IFLA_INFO_DATA));
  const Be16 protocol = vlan.Get<Be16>(IFLA_VLAN_PROTOCOL).value_or(kEtherTypeVlan);
  return protocol == kEtherTypeVlan ? vlan.Get<uint16_t>(IFLA_VLAN_ID).value_or(0) : uint16_t{0};
}

}  // namespace

KernelChange KernelState::Apply(const nlmsghdr& message) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: return ApplyLink(message);
    case RTM_NEWADDR:
    case RTM_DELADDR: return ApplyAddress(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: return ApplyRoute(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: return ApplyNeighbour(message);
    case RTM_NEWNEXTHOP: return {.routes_in_doubt = (message.nlmsg_flags & NLM_F_REPLACE) != 0};
    case RTM_DELNEXTHOP: return {.routes_in_doubt = true};
    default: return {};
  }
}

void KernelState::Forget(uint16_t dump) {
  if (dump == RTM_GETLINK) links_.clear();
  if (dump == RTM_GETADDR) addresses_.clear();
  if (dump == RTM_GETROUTE) routes_.clear();
  if (dump == RTM_GETNEIGH) neighbours_.clear();
}

KernelChange KernelState::ApplyLink(const nlmsghdr& message) {
  const auto* header = HeaderOf<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC)
    return {};  // a bridge's ports speak of themselves, too
  if (message.nlmsg_type == RTM_DELLINK) {
    const bool known = links_.erase(header->ifi_index) > 0;
    return {.any = known, .routes_in_doubt = known};
  }
  const Attributes<IFLA_MAX> attributes(message, sizeof(ifinfomsg));
  const Link link{.mac = attributes.GetMac(IFLA_ADDRESS).value_or(MacAddress{}),
                  .mtu = attributes.Get<uint32_t>(IFLA_MTU).value_or(1500),
                  .up = (header->ifi_flags & IFF_UP) != 0,
                  .carrier = (header->ifi_flags & IFF_LOWER_UP) != 0,
                  .parent = attributes.Get<int>(IFLA_LINK).value_or(0),
                  .vlan = VlanOf(attributes)};
  Link& known = links_[header->ifi_index];
  // Without a carrier a route loses its legs there; with one it has them again.
  const KernelChange change{.any = known != link,
                            .routes_in_doubt = known.up != link.up || known.carrier != link.carrier};
  known = link;
  return change;
}

KernelChange KernelState::ApplyAddress(const nlmsghdr& message) {
  const auto* header = HeaderOf<ifaddrmsg>(message);
  if (header == nullptr || !IsInternet(header->ifa_family)) return {};
  const Attributes<IFA_MAX> attributes(message, sizeof(ifaddrmsg));
  std::optional<IpAddress> address = attributes.GetAddress(IFA_LOCAL, header->ifa_family);
  if (!address) address = attributes.GetAddress(IFA_ADDRESS, header->ifa_family);
  if (!address) return {};
  const int interface = static_cast<int>(header->ifa_index);
  if (message.nlmsg_type == RTM_NEWADDR) return {.any = addresses_[*address].insert(interface).second};
  const auto known = addresses_.find(*address);
  if (known == addresses_.end() || known->second.erase(interface) == 0) return {};
  if (known->second.empty()) addresses_.erase(known);
  return {.any = true, .routes_in_doubt = true};
}

KernelChange KernelState::ApplyRoute(const nlmsghdr& message) {
  const auto* header = HeaderOf<rtmsg>(message);
  if (header == nullptr || !IsInternet(header->rtm_family) || header->rtm_tos != 0) return {};
  const int family = header->rtm_family;
  if (header->rtm_dst_len > (family == AF_INET ? 32 : 128)) return {};
  if (header->rtm_flags & RTM_F_CLONED) return {};
  const std::optional<RouteKind> kind = KindOf(header->rtm_type);
  if (!kind) return {};
  const Attributes<RTA_MAX> attributes(message, sizeof(rtmsg));
  const uint32_t table = attributes.Get<uint32_t>(RTA_TABLE).value_or(header->rtm_table);
  if (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL) return {};
  const IpAddress everything =
      IpAddress::Unspecified(family == AF_INET ? AddressFamily::kIpv4 : AddressFamily::kIpv6);
  const std::optional<IpAddress> prefix = attributes.GetAddress(RTA_DST, family);
  if (!prefix && header->rtm_dst_len != 0) return {};
  const RouteName name{.prefix = prefix.value_or(everything),
                       .prefix_length = header->rtm_dst_len,
                       .table = table,
                       .priority = attributes.Get<uint32_t>(RTA_PRIORITY).value_or(0)};
  if (message.nlmsg_type == RTM_DELROUTE) return DeleteRoute(name);
  RouteSpec route{.prefix = name.prefix, .prefix_length = name.prefix_length, .kind = *kind};
  if (*kind == RouteKind::kUnicast) {
    route.legs = LegsOf(attributes, family);
    if (family == AF_INET6) SortLegs(route.legs);
    route.source = attributes.GetAddress(RTA_PREFSRC, family);
  }
  return AddRoute(name, std::move(route), message.nlmsg_flags);
}

// Routes may share a name. The kernel uses the first: a table is read in that order, and `ip route append`
// adds behind it, any other way of adding in front. Of IPv6, legs that are added come with those that were
// there.
KernelChange KernelState::AddRoute(const RouteName& name, RouteSpec spec, uint16_t flags) {
  const auto [known, is_new] = routes_.try_emplace(name);
  Route& route = known->second;
  if (is_new || (flags & NLM_F_REPLACE) != 0 || route.spec == spec) {
    if (!is_new && route.spec == spec) return {};
    route.spec = std::move(spec);
    return {.any = true};
  }
  const bool is_v4 = name.prefix.IsV4();
  if (!is_v4 && HasLegsOf(spec, route.spec)) {
    route.spec = std::move(spec);
    return {.any = true};
  }
  route.has_others = true;
  const bool is_behind = !is_v4 || (flags & (NLM_F_MULTI | NLM_F_APPEND)) != 0;
  if (is_behind) return {};
  route.spec = std::move(spec);
  return {.any = true};
}

// Which of several it was is not told well: of legs, of routes with one name. Link-local networks, which
// every interface has, are on no packet's way.
KernelChange KernelState::DeleteRoute(const RouteName& name) {
  const auto known = routes_.find(name);
  if (known == routes_.end()) return {};
  const bool is_part = !name.prefix.IsV4() && known->second.spec.legs.size() > 1;
  const bool is_one_of_several = known->second.has_others && !IsLinkLocal(name.prefix);
  routes_.erase(known);
  return {.any = true, .routes_in_doubt = is_part || is_one_of_several};
}

KernelChange KernelState::ApplyNeighbour(const nlmsghdr& message) {
  const auto* header = HeaderOf<ndmsg>(message);
  if (header == nullptr || !IsInternet(header->ndm_family) || (header->ndm_flags & NTF_PROXY) != 0) return {};
  const Attributes<NDA_MAX> attributes(message, sizeof(ndmsg));
  const std::optional<IpAddress> address = attributes.GetAddress(NDA_DST, header->ndm_family);
  if (!address) return {};
  const NeighbourName name{header->ndm_ifindex, *address};
  const std::optional<MacAddress> mac = attributes.GetMac(NDA_LLADDR);
  constexpr int kUsable = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;
  if (message.nlmsg_type == RTM_DELNEIGH) return {.any = neighbours_.erase(name) > 0};
  const Neighbour neighbour{.mac = mac.value_or(MacAddress{}),
                            .usable = (header->ndm_state & kUsable) != 0 && mac && !mac->IsZero(),
                            .confirmed = (header->ndm_state & (kUsable & ~NUD_STALE)) != 0};
  Neighbour& known = neighbours_[name];
  const bool any = known.usable != neighbour.usable || (neighbour.usable && known.mac != neighbour.mac);
  known = neighbour;
  return {.any = any};
}

ForwardingSpec KernelState::Spec(const std::map<int, uint16_t>& port_of_interface) const {
  ForwardingSpec spec;
  for (const auto& [index, link] : links_) {
    const auto port = port_of_interface.find(link.vlan == 0 ? index : link.parent);
    spec.links[index] = {.mac = link.mac,
                         .mtu = static_cast<uint16_t>(std::min<uint32_t>(link.mtu, 0xffff)),
                         .up = link.up && link.carrier,
                         .port = port == port_of_interface.end() ? kNoPort : port->second,
                         .vlan = link.vlan};
  }
  // Names are sorted by prefix, then table, then priority: of a prefix in both tables, local (255) is the
  // later.
  for (const auto& [name, known] : routes_) {
    const RouteSpec& route = known.spec;
    const bool again = !spec.routes.empty() && spec.routes.back().prefix == name.prefix &&
                       spec.routes.back().prefix_length == name.prefix_length;
    if (!again) {
      spec.routes.push_back(route);
    } else if (name.table == RT_TABLE_LOCAL && spec.routes.back().kind != RouteKind::kLocal) {
      spec.routes.back() = route;
    }
  }
  NameSources(spec);
  for (const auto& [name, neighbour] : neighbours_) {
    if (neighbour.usable) spec.neighbours.emplace(name, neighbour.mac);
  }
  for (const auto& [address, interfaces] : addresses_) spec.host_addresses.push_back(address);
  return spec;
}

// Of a network that an interface is in, IPv4's routes say the host's address there; IPv6's do not.
void KernelState::NameSources(ForwardingSpec& spec) const {
  std::map<int, std::vector<IpAddress>> addresses;
  for (const auto& [address, interfaces] : addresses_) {
    for (const int interface : interfaces) addresses[interface].push_back(address);
  }
  for (RouteSpec& route : spec.routes) {
    const bool is_network = !route.prefix.IsV4() && route.legs.size() == 1 && !route.legs[0].gateway;
    if (!is_network || route.source) continue;
    for (const IpAddress& address : addresses[route.legs[0].interface]) {
      if (!address.IsV4() && address.Prefix(route.prefix_length) == route.prefix) route.source = address;
    }
  }
}

const KernelState::Neighbour* KernelState::FindNeighbour(const NeighbourName& name) const {
  const auto found = neighbours_.find(name);
  return found == neighbours_.end() ? nullptr : &found->second;
}

}  // namespace sluice
