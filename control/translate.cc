// SPDX-License-Identifier: Apache-2.0
#include "control/translate.h"

#include <net/if.h>

#include <bit>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

namespace {

ForwardingMethod MethodOf(v1::ForwardingMethod method) {
  switch (method) {
    case v1::NAT: return ForwardingMethod::kNat;
    case v1::TUN: return ForwardingMethod::kTunnel;
    case v1::FULLNAT: return ForwardingMethod::kFullNat;
    default: return ForwardingMethod::kDirect;  // as in ipvsadm
  }
}

std::vector<SourceRanges::Prefix> PrefixesOf(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::vector<SourceRanges::Prefix> prefixes;
  for (const std::string& text : texts) {
    if (const auto prefix = ParsePrefix(text)) prefixes.push_back({prefix->first, prefix->second});
  }
  return prefixes;
}

// A remote checksum is asked for when a packet's own is yet to be filled in; on the wire it always is.
TunnelSpec TunnelOf(const v1::Tunnel& tunnel) {
  return {.type = static_cast<TunnelType>(tunnel.type()),
          .checksum = tunnel.checksum() == v1::TUNNEL_CSUM || tunnel.checksum() == v1::TUNNEL_REMCSUM,
          .port = Be16::FromHost(static_cast<uint16_t>(tunnel.port()))};
}

}  // namespace

Endpoint ToEndpoint(const std::string& address, uint32_t port, Protocol protocol) {
  return {IpAddress::Parse(address).value_or(IpAddress{}), Be16::FromHost(static_cast<uint16_t>(port)),
          protocol};
}

// The kernel has them as TCP, too.
ServiceKey KeyOfFwmark(uint32_t fwmark, v1::AddressFamily family) {
  const IpAddress none =
      IpAddress::Unspecified(family == v1::IPV6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4);
  return {{none, Be16{}, Protocol::kTcp}, fwmark};
}

ServiceSpec ToSpec(const v1::Service& service) {
  ServiceSpec spec;
  spec.key = service.key().fwmark() != 0
                 ? KeyOfFwmark(service.key().fwmark(), service.key().family())
                 : ServiceKey{ToEndpoint(service.key().address(), service.key().port(),
                                         static_cast<Protocol>(service.key().protocol()))};
  spec.scheduler = service.scheduler();
  spec.one_packet = service.one_packet();
  for (const int flag : service.scheduler_flags()) {
    spec.flags.flag_1 |= flag == v1::FLAG_1;
    spec.flags.flag_2 |= flag == v1::FLAG_2;
    spec.flags.flag_3 |= flag == v1::FLAG_3;
  }
  for (const v1::Destination& destination : service.destinations()) {
    const Endpoint endpoint = ToEndpoint(destination.address(), destination.port(), spec.key.protocol);
    spec.destinations.push_back({.address = endpoint.address,
                                 .port = endpoint.port,
                                 .weight = static_cast<int32_t>(destination.weight()),
                                 .upper_threshold = destination.upper_threshold(),
                                 .lower_threshold = destination.lower_threshold(),
                                 .method = MethodOf(destination.method()),
                                 .tunnel = TunnelOf(destination.tunnel())});
  }
  if (service.has_persistence()) {
    const bool is_v4 = spec.key.address.IsV4();
    const uint8_t whole = is_v4 ? 32 : 128;
    spec.persistence = {
        .timeout_seconds = service.persistence().timeout_seconds(),
        .prefix_length = PrefixLengthOfNetmask(service.persistence().netmask(), is_v4).value_or(whole),
        .strict = service.persistence().strict()};
  }
  if (service.has_timeouts()) spec.timeouts = ToSpec(service.timeouts());
  spec.drain_seconds = service.drain_seconds();
  spec.sources = {.allow = PrefixesOf(service.allow_sources()), .deny = PrefixesOf(service.deny_sources())};
  for (const v1::LocalAddress& local : service.local_addresses())
    spec.local_addresses.push_back(ToSpec(local));
  spec.no_destination = static_cast<NoDestinationPolicy>(service.no_destination());
  return spec;
}

TimeoutSpec ToSpec(const v1::Timeouts& timeouts) {
  return {.tcp_seconds = timeouts.tcp_seconds(),
          .tcp_fin_seconds = timeouts.tcp_fin_seconds(),
          .udp_seconds = timeouts.udp_seconds()};
}

LocalAddress ToSpec(const v1::LocalAddress& local) {
  // One that is not there leads to no real server.
  const auto known = static_cast<int>(if_nametoindex(local.interface().c_str()));
  const int interface = local.interface().empty() ? 0 : known != 0 ? known : -1;
  return {.address = IpAddress::Parse(local.address()).value_or(IpAddress{}), .interface = interface};
}

FwmarkRule ToSpec(const v1::FwmarkRule& rule) {
  const auto prefix = ParsePrefix(rule.prefix()).value_or(std::pair<IpAddress, uint8_t>());
  FwmarkRule spec{.fwmark = rule.fwmark(),
                  .prefix = prefix.first,
                  .prefix_length = prefix.second,
                  .first_port = static_cast<uint16_t>(rule.first_port()),
                  .last_port = static_cast<uint16_t>(rule.last_port())};
  if (rule.protocol() != v1::PROTOCOL_UNSPECIFIED) spec.protocol = static_cast<Protocol>(rule.protocol());
  if (rule.last_port() == 0) spec.last_port = rule.first_port() == 0 ? uint16_t{65535} : spec.first_port;
  return spec;
}

Settings Merge(const Settings& present, const v1::Settings& wanted) {
  Settings merged = present;
  if (wanted.has_amemthresh()) merged.amemthresh = wanted.amemthresh();
  if (wanted.has_am_droprate()) merged.am_droprate = wanted.am_droprate();
  if (wanted.has_drop_entry()) merged.drop_entry = wanted.drop_entry();
  if (wanted.has_drop_packet()) merged.drop_packet = wanted.drop_packet();
  if (wanted.has_secure_tcp()) merged.secure_tcp = wanted.secure_tcp();
  if (wanted.has_conn_reuse_mode()) merged.conn_reuse_mode = wanted.conn_reuse_mode();
  if (wanted.has_cache_bypass()) merged.cache_bypass = wanted.cache_bypass();
  if (wanted.has_expire_nodest_conn()) merged.expire_nodest_conn = wanted.expire_nodest_conn();
  if (wanted.has_expire_quiescent_template())
    merged.expire_quiescent_template = wanted.expire_quiescent_template();
  if (wanted.has_sloppy_tcp()) merged.sloppy_tcp = wanted.sloppy_tcp();
  if (wanted.has_sloppy_sctp()) merged.sloppy_sctp = wanted.sloppy_sctp();
  if (wanted.has_run_estimation()) merged.run_estimation = wanted.run_estimation();
  if (wanted.has_nat_icmp_send()) merged.nat_icmp_send = wanted.nat_icmp_send();
  if (wanted.has_pmtu_disc()) merged.pmtu_disc = wanted.pmtu_disc();
  if (wanted.has_schedule_icmp()) merged.schedule_icmp = wanted.schedule_icmp();
  if (wanted.has_lblc_expiration()) merged.lblc_expiration = wanted.lblc_expiration();
  if (wanted.has_lblcr_expiration()) merged.lblcr_expiration = wanted.lblcr_expiration();
  return merged;
}

v1::Settings ToMessage(const Settings& settings) {
  v1::Settings message;
  message.set_amemthresh(settings.amemthresh);
  message.set_am_droprate(settings.am_droprate);
  message.set_drop_entry(settings.drop_entry);
  message.set_drop_packet(settings.drop_packet);
  message.set_secure_tcp(settings.secure_tcp);
  message.set_conn_reuse_mode(settings.conn_reuse_mode);
  message.set_cache_bypass(settings.cache_bypass);
  message.set_expire_nodest_conn(settings.expire_nodest_conn);
  message.set_expire_quiescent_template(settings.expire_quiescent_template);
  message.set_sloppy_tcp(settings.sloppy_tcp);
  message.set_sloppy_sctp(settings.sloppy_sctp);
  message.set_run_estimation(settings.run_estimation);
  message.set_nat_icmp_send(settings.nat_icmp_send);
  message.set_pmtu_disc(settings.pmtu_disc);
  message.set_schedule_icmp(settings.schedule_icmp);
  message.set_lblc_expiration(settings.lblc_expiration);
  message.set_lblcr_expiration(settings.lblcr_expiration);
  return message;
}

std::optional<uint8_t> PrefixLengthOfNetmask(const std::string& netmask, bool is_v4) {
  if (!is_v4) {
    uint32_t length = 0;
    if (!absl::SimpleAtoi(netmask, &length) || length < 1 || length > 128) return std::nullopt;
    return static_cast<uint8_t>(length);
  }
  const std::optional<IpAddress> mask = IpAddress::Parse(netmask);
  if (!mask || !mask->IsV4()) return std::nullopt;
  const uint32_t bits = mask->V4().ToHost();
  const int length = std::countl_one(bits);
  if (length == 0 || (length < 32 && bits << length != 0)) return std::nullopt;
  return static_cast<uint8_t>(length);
}

std::optional<std::pair<IpAddress, uint8_t>> ParsePrefix(const std::string& text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto most = static_cast<uint32_t>(address->bits());
  uint32_t length = most;
  if (slash != std::string::npos && (!absl::SimpleAtoi(text.substr(slash + 1), &length) || length > most))
    return std::nullopt;
  if (address->Prefix(static_cast<int>(length)) != *address) return std::nullopt;
  return std::pair(*address, static_cast<uint8_t>(length));
}

v1::ServiceKey ToMessage(const ServiceKey& key) {
  v1::ServiceKey message;
  if (key.HasFwmark()) {
    message.set_fwmark(key.fwmark);
    message.set_family(key.address.IsV4() ? v1::IPV4 : v1::IPV6);
    return message;
  }
  message.set_protocol(static_cast<v1::Protocol>(key.protocol));
  message.set_address(key.address.ToString());
  message.set_port(key.port.ToHost());
  return message;
}

v1::Timeouts ToMessage(const TimeoutSpec& timeouts) {
  v1::Timeouts message;
  message.set_tcp_seconds(timeouts.tcp_seconds);
  message.set_tcp_fin_seconds(timeouts.tcp_fin_seconds);
  message.set_udp_seconds(timeouts.udp_seconds);
  return message;
}

v1::Statistics ToMessage(const DestinationStatistics& statistics) {
  v1::Statistics message;
  message.set_connections(statistics.connections);
  message.set_in_packets(statistics.in_packets);
  message.set_out_packets(statistics.out_packets);
  message.set_in_bytes(statistics.in_bytes);
  message.set_out_bytes(statistics.out_bytes);
  return message;
}

v1::Rates ToRates(const DestinationStatistics& per_second) {
  v1::Rates message;
  message.set_connections(per_second.connections);
  message.set_in_packets(per_second.in_packets);
  message.set_out_packets(per_second.out_packets);
  message.set_in_bytes(per_second.in_bytes);
  message.set_out_bytes(per_second.out_bytes);
  return message;
}

v1::Connection ToMessage(const ConnectionStatus& connection) {
  v1::Connection message;
  message.set_protocol(static_cast<v1::Protocol>(connection.client.protocol));
  message.set_client_address(connection.client.address.ToString());
  message.set_client_port(connection.client.port.ToHost());
  message.set_virtual_address(connection.virtual_endpoint.address.ToString());
  message.set_virtual_port(connection.virtual_endpoint.port.ToHost());
  message.set_destination_address(connection.destination.address.ToString());
  message.set_destination_port(connection.destination.port.ToHost());
  message.set_state(std::string(connection.state));
  message.set_expires_seconds(connection.expires_seconds);
  message.set_active(connection.active);
  message.set_worker(static_cast<uint32_t>(connection.worker));
  message.set_flags(connection.flags);
  return message;
}

std::string NameOf(const v1::LocalAddress& local) {
  const std::optional<IpAddress> address = IpAddress::Parse(local.address());
  return absl::StrCat(address ? address->ToString() : local.address(), local.interface().empty() ? "" : "%",
                      local.interface());
}

std::string NameOf(const v1::FwmarkRule& rule) {
  const FwmarkRule spec = ToSpec(rule);
  const std::string protocol =
      rule.protocol() == v1::PROTOCOL_UNSPECIFIED
          ? ""
          : absl::StrCat(absl::AsciiStrToLower(v1::Protocol_Name(rule.protocol())), " ");
  return absl::StrCat(protocol, rule.prefix(), " ports ", spec.first_port, "-", spec.last_port, " to mark ",
                      rule.fwmark());
}

std::string NameOf(const ServiceKey& key) {
  if (key.HasFwmark()) return absl::StrCat("FWM ", key.fwmark);
  const char* protocol = key.protocol == Protocol::kUdp    ? "UDP "
                         : key.protocol == Protocol::kSctp ? "SCTP "
                                                           : "TCP ";
  return absl::StrCat(protocol, key.ToString());
}

}  // namespace sluice
