// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/configuration.h"

#include <algorithm>

#include "schedulers/scheduler.h"
#include "tests/fuzz/pipeline_fuzz/workers.h"

namespace sluice::fuzz {
namespace {

IpAddress Ip(const std::string& text) { return Address::Of(text).ToIp(); }

void AddNetwork(ForwardingSpec& spec, bool is_v6) {
  const IpAddress gateway = Ip(is_v6 ? "fd00:a::fe" : "10.0.0.254");
  spec.routes.push_back({.prefix = Ip(is_v6 ? "fd00:a::" : "10.0.0.0"),
                         .prefix_length = is_v6 ? 32 : 16,
                         .legs = {{.interface = 1, .gateway = gateway}}});
  spec.routes.push_back({.prefix = Ip(is_v6 ? "fd00:b::" : "10.1.0.0"),
                         .prefix_length = is_v6 ? 64 : 16,
                         .legs = {{.interface = 2}}});
  const auto family = static_cast<uint8_t>(is_v6 ? 0x56 : 0x51);
  for (const int interface : {1, 3}) spec.neighbours[{interface, gateway}] = {{0x02, 0, 0, 0, 0, 0xc1}};
  for (const int interface : {2, 4}) {
    for (uint8_t i = 1; i <= 9; ++i)
      spec.neighbours[{interface, Numbered("10.1.0.", "fd00:b::", is_v6, i).ToIp()}] = {
          {0x02, 0, 0, 0, family, i}};
  }
}

}  // namespace

ServiceKey ConfigurationGrammar::AnyKey() {
  const bool is_v6 = dice_.OneIn(2);
  if (dice_.OneIn(6)) return {{Ip(is_v6 ? "::" : "0.0.0.0"), Be16{}, Protocol::kTcp}, 1 + dice_.Below(3)};
  return {{AnyVirtual(dice_, is_v6).ToIp(), Be16::FromHost(dice_.Any<uint16_t>({0, 21, 53, 80, 80})),
           static_cast<Protocol>(AnyProtocol(dice_))}};
}

DestinationSpec ConfigurationGrammar::AnyDestination(bool is_v6, bool may_be_full_nat) {
  DestinationSpec server;
  server.method =
      dice_.Any({ForwardingMethod::kNat, ForwardingMethod::kNat, ForwardingMethod::kDirect,
                 ForwardingMethod::kTunnel, ForwardingMethod::kFullNat, ForwardingMethod::kFullNat});
  if (is_about_full_nat_) server.method = ForwardingMethod::kFullNat;
  if (!may_be_full_nat && server.method == ForwardingMethod::kFullNat) server.method = ForwardingMethod::kNat;
  const bool other_family = server.method == ForwardingMethod::kTunnel && dice_.OneIn(3);
  server.address = AnyServer(dice_, is_v6 != other_family).ToIp();
  server.port = Be16::FromHost(dice_.Any<uint16_t>({0, 53, 8080}));
  server.weight = static_cast<int32_t>(dice_.Below(4));
  if (is_about_full_nat_) {
    server.address = Numbered("10.1.0.", "fd00:b::", is_v6, 1 + dice_.Below(2)).ToIp();
    server.port = Be16::FromHost(dice_.Any<uint16_t>({0, 80}));
    server.weight = 1;
    return server;
  }
  if (dice_.OneIn(4)) server.upper_threshold = 1 + dice_.Below(20);
  if (dice_.OneIn(2)) server.lower_threshold = dice_.Below(server.upper_threshold + 1);
  server.tunnel = {dice_.Any({TunnelType::kIpip, TunnelType::kGre, TunnelType::kGue}), dice_.OneIn(2),
                   Be16::FromHost(6080)};
  return server;
}

void ConfigurationGrammar::AddSourceRanges(ServiceSpec& spec, bool is_v6) {
  for (uint32_t i = 1 + dice_.Below(3); i > 0; --i) {
    const auto length = static_cast<uint8_t>(dice_.Below(is_v6 ? 129 : 33));
    const SourceRanges::Prefix range = {AnyClient(dice_, is_v6).Prefix(length).ToIp(), length};
    auto& list = dice_.OneIn(2) ? spec.sources.allow : spec.sources.deny;
    if (std::find(list.begin(), list.end(), range) == list.end()) list.push_back(range);
  }
}

ServiceSpec ConfigurationGrammar::AnyService() {
  const ServiceKey key = AnyKey();
  const bool is_v6 = !key.address.IsV4();
  ServiceSpec spec{.key = key, .scheduler = std::string(dice_.Any(SchedulerNames()))};
  spec.one_packet = dice_.OneIn(6) && (key.protocol == Protocol::kUdp || key.HasFwmark());
  spec.flags = {.flag_1 = dice_.OneIn(2), .flag_2 = dice_.OneIn(2)};
  for (uint32_t i = dice_.Below(6); i > 0; --i) {
    const DestinationSpec server = AnyDestination(is_v6, !spec.one_packet);
    const auto same = [&](const DestinationSpec& each) {
      return each.address == server.address && each.port == server.port;
    };
    if (std::none_of(spec.destinations.begin(), spec.destinations.end(), same))
      spec.destinations.push_back(server);
  }
  if (dice_.OneIn(3) || (key.port == Be16{} && !key.HasFwmark())) {
    spec.persistence = {.timeout_seconds = 1 + dice_.Below(400),
                        .prefix_length = static_cast<uint8_t>(1 + dice_.Below(is_v6 ? 128 : 32)),
                        .strict = dice_.OneIn(2)};
  }
  if (dice_.OneIn(4)) spec.timeouts = TimeoutSpec{dice_.Below(100), dice_.Below(100), dice_.Below(100)};
  if (dice_.OneIn(4)) spec.drain_seconds = 1 + dice_.Below(30);
  spec.no_destination =
      dice_.Any({NoDestinationPolicy::kIcmp, NoDestinationPolicy::kReset, NoDestinationPolicy::kDrop});
  if (dice_.OneIn(5)) AddSourceRanges(spec, is_v6);
  if (dice_.OneIn(4)) spec.local_addresses = {AnyLocalAddress(), AnyLocalAddress()};
  return spec;
}

LocalAddress ConfigurationGrammar::AnyLocalAddress() {
  const bool is_v6 = dice_.OneIn(2);
  if (is_about_full_nat_) return {Numbered("10.1.0.10", "fd00:b::10", is_v6, 0).ToIp(), 0};
  return {AnyLocal(dice_, is_v6).ToIp(), dice_.OneIn(3) ? static_cast<int>(dice_.Below(3)) : 0};
}

GlobalSpec ConfigurationGrammar::AnyGlobal() {
  GlobalSpec global;
  Settings& settings = global.settings;
  if (dice_.OneIn(3)) settings.drop_entry = dice_.Below(4);
  if (dice_.OneIn(4)) settings.drop_packet = dice_.Below(4);
  if (dice_.OneIn(3)) settings.secure_tcp = dice_.Below(4);
  settings.amemthresh = dice_.Below(100);
  settings.am_droprate = dice_.Below(5);
  settings.conn_reuse_mode = dice_.Below(4);
  settings.cache_bypass = dice_.OneIn(3);
  settings.expire_nodest_conn = dice_.OneIn(3);
  settings.expire_quiescent_template = dice_.OneIn(3);
  settings.sloppy_tcp = dice_.OneIn(3);
  settings.sloppy_sctp = dice_.OneIn(3);
  settings.nat_icmp_send = dice_.OneIn(3);
  settings.pmtu_disc = !dice_.OneIn(3);
  settings.schedule_icmp = dice_.OneIn(2);
  for (uint32_t i = dice_.Below(4); i > 0; --i) {
    const bool is_v6 = dice_.OneIn(2);
    const auto length =
        static_cast<uint8_t>(is_v6 ? dice_.Any({128, 128, 64, 8, 0}) : dice_.Any({32, 32, 24, 8, 0}));
    FwmarkRule rule{.fwmark = 1 + dice_.Below(3), .prefix = AnyVirtual(dice_, is_v6).Prefix(length).ToIp()};
    rule.prefix_length = length;
    if (dice_.OneIn(2)) rule.protocol = static_cast<Protocol>(AnyProtocol(dice_));
    if (dice_.OneIn(2)) rule.last_port = static_cast<uint16_t>(dice_.Any({53, 80, 8080}));
    global.fwmark_rules.push_back(rule);
  }
  for (uint32_t i = dice_.Below(6); i > 0; --i) global.local_addresses.push_back(AnyLocalAddress());
  return global;
}

ForwardingSpec ConfigurationGrammar::PlainForwarding() {
  ForwardingSpec spec;
  const MacAddress mac{kOurMac};
  spec.links[1] = {.mac = mac, .mtu = 1500, .up = true, .port = 0};
  spec.links[2] = {.mac = mac, .mtu = 1500, .up = true, .port = 1};
  spec.links[3] = {.mac = mac, .mtu = 1500, .up = true, .port = 0, .vlan = kVlanOfClients};
  spec.links[4] = {.mac = mac, .mtu = 1500, .up = true, .port = 1, .vlan = kVlanOfServers};
  AddNetwork(spec, false);
  AddNetwork(spec, true);
  return spec;
}

ForwardingSpec ConfigurationGrammar::AnyForwarding() {
  ForwardingSpec spec = PlainForwarding();
  for (auto& [index, link] : spec.links) {
    link.up = !dice_.OneIn(8);
    link.mtu = dice_.Any<uint16_t>({576, 1280, 1400, 1500, 1500, 2100, 4000, 9000});
  }
  for (RouteSpec& route : spec.routes) {
    const bool is_v6 = !route.prefix.IsV4();
    const bool to_clients = route.legs[0].gateway.has_value();
    if (dice_.OneIn(4)) route.legs[0].interface += 2;
    if (!to_clients && dice_.OneIn(6))
      route.legs.push_back({.interface = route.legs[0].interface ^ 6, .weight = 2});
    if (!dice_.OneIn(4) && !to_clients) route.source = TunnelSource(is_v6).ToIp();
    if (dice_.OneIn(12)) route.kind = dice_.Any({RouteKind::kLocal, RouteKind::kUnreachable});
  }
  for (auto at = spec.neighbours.begin(); at != spec.neighbours.end();)
    at = dice_.OneIn(8) ? spec.neighbours.erase(at) : std::next(at);
  return spec;
}

}  // namespace sluice::fuzz
