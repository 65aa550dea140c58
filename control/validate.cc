// SPDX-License-Identifier: Apache-2.0
#include "control/validate.h"

#include <net/if.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/translate.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

constexpr uint32_t kMaxPort = 65535;
constexpr uint32_t kMaxWeight = 2147483647;
constexpr uint32_t kMaxThreshold = 2147483647;
// As in the kernel: INT_MAX jiffies, at 250 of them a second.
constexpr uint32_t kMaxTimeoutSeconds = 2147483647 / 250;

// Maglev's table has no more places.
constexpr int kMaxMaglevDestinations = 4093;

std::optional<IpAddress> ValidateAddress(const std::string& text, const std::string& field,
                                         Problems& problems) {
  const std::optional<IpAddress> address = IpAddress::Parse(text);
  if (!address) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat("\"", text, "\": must be an address like 10.0.0.1 or 2001:db8::1"));
    return std::nullopt;
  }
  if (!address->CanBeHost() && address->IsV4()) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat(text, ": must be a unicast address, not of 0/8, 127/8, 224/4 or 240/4"));
    return std::nullopt;
  }
  const IpAddress link_local = *IpAddress::Parse("fe80::");
  if (!address->CanBeHost() || address->Prefix(10) == link_local) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat(text, ": must be a unicast address, not of ::/96, ff00::/8 or fe80::/10"));
    return std::nullopt;
  }
  return address;
}

bool ValidatePort(uint32_t port, const std::string& field, Problems& problems) {
  if (port <= kMaxPort) return true;
  problems.Add(v1::OUT_OF_RANGE_VALUE, field, absl::StrCat(port, ": must be 0..", kMaxPort));
  return false;
}

void ValidateScheduler(const std::string& name, const std::string& field, Problems& problems) {
  if (name.empty() || FindScheduler(name) != nullptr) return;
  const std::string known = absl::StrJoin(SchedulerNames(), ", ",
                                          [](std::string* out, std::string_view each) { out->append(each); });
  problems.Add(v1::SCHEDULER_NOT_FOUND, field,
               absl::StrCat("\"", name, "\" is not a scheduler: must be one of ", known));
}

void ValidateSources(const google::protobuf::RepeatedPtrField<std::string>& prefixes, bool is_v4,
                     const std::string& field, Problems& problems) {
  for (int i = 0; i < prefixes.size(); ++i) {
    const auto prefix = ParsePrefix(prefixes[i]);
    if (!prefix) {
      problems.Add(v1::INVALID_VALUE, absl::StrCat(field, "[", i, "]"),
                   absl::StrCat("\"", prefixes[i],
                                "\": must be an address and a length without host bits, like 10.99.0.0/24"));
    } else if (prefix->first.IsV4() != is_v4) {
      problems.Add(v1::INVALID_VALUE, absl::StrCat(field, "[", i, "]"),
                   absl::StrCat(prefixes[i], ": must be of the service's family, IPv", is_v4 ? 4 : 6));
    }
  }
}

void ValidateNoDestination(v1::NoDestinationPolicy policy, const std::string& field, Problems& problems) {
  if (!v1::NoDestinationPolicy_IsValid(policy))
    problems.Add(v1::INVALID_VALUE, field, "must be ICMP_UNREACHABLE, TCP_RESET or SILENCE");
}

void ValidateTimeout(uint32_t seconds, const std::string& field, Problems& problems) {
  if (seconds <= kMaxTimeoutSeconds) return;
  problems.Add(v1::OUT_OF_RANGE_VALUE, field,
               absl::StrCat(seconds, ": must be 0..", kMaxTimeoutSeconds, " seconds"));
}

void ValidatePersistence(const v1::Persistence& persistence, bool is_v4, const std::string& field,
                         Problems& problems) {
  constexpr uint32_t kMostSeconds = 31 * 86400;  // as in ipvsadm
  const uint32_t seconds = persistence.timeout_seconds();
  if (seconds < 1 || seconds > kMostSeconds) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".timeout_seconds"),
                 absl::StrCat(seconds, ": must be 1..", kMostSeconds));
  }
  if (!persistence.netmask().empty() && !PrefixLengthOfNetmask(persistence.netmask(), is_v4)) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".netmask"),
                 absl::StrCat("\"", persistence.netmask(), "\": must be ",
                              is_v4 ? "a netmask without gaps, like 255.255.255.0"
                                    : "the length of a prefix, 1..128, for a service of IPv6"));
  }
  if (!persistence.engine().empty()) {
    problems.Add(v1::NOT_SUPPORTED, absl::StrCat(field, ".engine"),
                 absl::StrCat("\"", persistence.engine(), "\": persistence engines are not supported"));
  }
}

void ValidateTunnel(const v1::Tunnel& tunnel, const std::string& field, Problems& problems) {
  if (!v1::TunnelType_IsValid(tunnel.type()))
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".type"), "must be IPIP, GUE or GRE");
  if (!v1::TunnelChecksum_IsValid(tunnel.checksum()))
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".checksum"), "is not a kind of checksum");
  if (tunnel.type() == v1::GUE && (tunnel.port() == 0 || tunnel.port() > kMaxPort)) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".port"),
                 absl::StrCat(tunnel.port(), ": GUE needs a port, 1..", kMaxPort));
  }
}

void ValidateMethod(const v1::Destination& destination, const std::string& field, Problems& problems) {
  if (!v1::ForwardingMethod_IsValid(destination.method())) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".method"),
                 absl::StrCat(static_cast<int>(destination.method()), ": is not a forwarding method"));
  } else if (destination.method() == v1::TUN) {
    ValidateTunnel(destination.tunnel(), absl::StrCat(field, ".tunnel"), problems);
  }
}

}  // namespace

std::optional<ServiceKey> ValidateKey(const v1::ServiceKey& key, const std::string& field,
                                      Problems& problems) {
  const int before = problems.Count();
  if (key.fwmark() != 0) {
    if (v1::AddressFamily_IsValid(key.family())) return KeyOfFwmark(key.fwmark(), key.family());
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".family"), "must be IPV4 or IPV6");
    return std::nullopt;
  }
  if (key.protocol() != v1::TCP && key.protocol() != v1::UDP && key.protocol() != v1::SCTP)
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".protocol"), "must be TCP, UDP or SCTP");
  const std::optional<IpAddress> address =
      ValidateAddress(key.address(), absl::StrCat(field, ".address"), problems);
  ValidatePort(key.port(), absl::StrCat(field, ".port"), problems);
  if (problems.Count() > before) return std::nullopt;
  return ServiceKey{
      {*address, Be16::FromHost(static_cast<uint16_t>(key.port())), static_cast<Protocol>(key.protocol())}};
}

void ValidateName(const std::string& name, const std::string& field, Problems& problems) {
  constexpr size_t kLongest = 253;  // of names in Kubernetes
  if (name.size() > kLongest)
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat(name.size(), " characters: must be at most ", kLongest));
}

void ValidateService(const v1::Service& service, const std::string& field, Problems& problems) {
  ValidateName(service.kubernetes().namespace_(), absl::StrCat(field, ".kubernetes.namespace"), problems);
  ValidateName(service.kubernetes().service(), absl::StrCat(field, ".kubernetes.service"), problems);
  ValidateName(service.kubernetes().port(), absl::StrCat(field, ".kubernetes.port"), problems);
  ValidateScheduler(service.scheduler(), absl::StrCat(field, ".scheduler"), problems);
  for (int i = 0; i < service.scheduler_flags_size(); ++i) {
    const v1::SchedulerFlag flag = service.scheduler_flags(i);
    if (flag == v1::SCHEDULER_FLAG_UNSPECIFIED || !v1::SchedulerFlag_IsValid(flag)) {
      problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".scheduler_flags[", i, "]"),
                   "must be FLAG_1, FLAG_2 or FLAG_3");
    }
  }
  const bool has_fwmark = service.key().fwmark() != 0;
  const bool is_v4 = has_fwmark ? service.key().family() != v1::IPV6
                                : service.key().address().find(':') == std::string::npos;
  if (service.has_persistence()) {
    ValidatePersistence(service.persistence(), is_v4, absl::StrCat(field, ".persistence"), problems);
  } else if (!has_fwmark && service.key().port() == 0) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".key.port"),
                 "0: every port needs persistence, so that a client's connections stay together");
  }
  if (service.one_packet() && !has_fwmark && service.key().protocol() != v1::UDP) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".one_packet"),
                 "true: only UDP services can have it");
  }
  ValidateTimeouts(service.timeouts(), absl::StrCat(field, ".timeouts"), problems);
  ValidateTimeout(service.drain_seconds(), absl::StrCat(field, ".drain_seconds"), problems);
  for (int i = 0; i < service.local_addresses_size(); ++i) {
    ValidateLocalAddress(service.local_addresses(i), absl::StrCat(field, ".local_addresses[", i, "]"),
                         problems);
  }
  ValidateSources(service.allow_sources(), is_v4, absl::StrCat(field, ".allow_sources"), problems);
  ValidateSources(service.deny_sources(), is_v4, absl::StrCat(field, ".deny_sources"), problems);
  ValidateSources(service.unmasqueraded_sources(), is_v4, absl::StrCat(field, ".unmasqueraded_sources"),
                  problems);
  ValidateNoDestination(service.no_destination(), absl::StrCat(field, ".no_destination"), problems);
}

std::optional<Endpoint> ValidateDestinationEndpoint(const ServiceKey& service, const std::string& address,
                                                    uint32_t port, const std::string& field,
                                                    Problems& problems) {
  const std::optional<IpAddress> parsed = ValidateAddress(address, absl::StrCat(field, ".address"), problems);
  if (!ValidatePort(port, absl::StrCat(field, ".port"), problems) || !parsed) return std::nullopt;
  const Endpoint endpoint{*parsed, Be16::FromHost(static_cast<uint16_t>(port)), service.protocol};
  if (endpoint == static_cast<const Endpoint&>(service)) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".address"),
                 absl::StrCat(endpoint.ToString(), ": is the service itself; packets would go round"));
    return std::nullopt;
  }
  return endpoint;
}

void ValidateDestination(const ServiceKey& service, const v1::Destination& destination,
                         const std::string& field, Problems& problems) {
  const auto endpoint =
      ValidateDestinationEndpoint(service, destination.address(), destination.port(), field, problems);
  if (endpoint && endpoint->address.IsV4() != service.address.IsV4() && destination.method() != v1::TUN) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".address"),
                 absl::StrCat(destination.address(), ": only tunnels (method TUN) lead from IPv",
                              service.address.IsV4() ? 4 : 6, " to a real server of the other family"));
  }
  ValidateMethod(destination, field, problems);
  ValidateName(destination.endpoint(), absl::StrCat(field, ".endpoint"), problems);
  if (destination.weight() > kMaxWeight) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".weight"),
                 absl::StrCat(destination.weight(), ": must be 0..", kMaxWeight));
  }
  if (destination.upper_threshold() > kMaxThreshold) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".upper_threshold"),
                 absl::StrCat(destination.upper_threshold(), ": must be 0..", kMaxThreshold));
  } else if (destination.lower_threshold() > destination.upper_threshold()) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".lower_threshold"),
                 absl::StrCat(destination.lower_threshold(), ": must not be above the upper_threshold, ",
                              destination.upper_threshold()));
  }
  if (destination.has_tunnel() && destination.method() != v1::TUN) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".tunnel"),
                 "only a destination with method TUN can have it");
  }
}

void ValidateTimeouts(const v1::Timeouts& timeouts, const std::string& field, Problems& problems) {
  ValidateTimeout(timeouts.tcp_seconds(), absl::StrCat(field, ".tcp_seconds"), problems);
  ValidateTimeout(timeouts.tcp_fin_seconds(), absl::StrCat(field, ".tcp_fin_seconds"), problems);
  ValidateTimeout(timeouts.udp_seconds(), absl::StrCat(field, ".udp_seconds"), problems);
}

void ValidateSettings(const v1::Settings& settings, const std::string& field, Problems& problems) {
  const auto at_most = [&](const char* name, bool present, uint32_t value, uint32_t most) {
    if (!present || value <= most) return;
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".", name),
                 absl::StrCat(value, ": must be 0..", most));
  };
  at_most("amemthresh", settings.has_amemthresh(), settings.amemthresh(), 1u << 30);
  at_most("am_droprate", settings.has_am_droprate(), settings.am_droprate(), 1u << 30);
  at_most("drop_entry", settings.has_drop_entry(), settings.drop_entry(), 3);
  at_most("drop_packet", settings.has_drop_packet(), settings.drop_packet(), 3);
  at_most("secure_tcp", settings.has_secure_tcp(), settings.secure_tcp(), 3);
  at_most("conn_reuse_mode", settings.has_conn_reuse_mode(), settings.conn_reuse_mode(), 3);
  at_most("lblc_expiration", settings.has_lblc_expiration(), settings.lblc_expiration(), kMaxTimeoutSeconds);
  at_most("lblcr_expiration", settings.has_lblcr_expiration(), settings.lblcr_expiration(),
          kMaxTimeoutSeconds);
}

std::optional<FlowKey> ValidateFlow(const v1::ExplainRequest& request, Problems& problems) {
  const int before = problems.Count();
  const auto address = [&](const std::string& text, const char* field) {
    const std::optional<IpAddress> parsed = IpAddress::Parse(text);
    if (!parsed)
      problems.Add(v1::INVALID_VALUE, field,
                   absl::StrCat("\"", text, "\": must be an address like 10.0.0.1 or 2001:db8::1"));
    return parsed.value_or(IpAddress{});
  };
  if (request.protocol() != v1::TCP && request.protocol() != v1::UDP && request.protocol() != v1::SCTP)
    problems.Add(v1::INVALID_VALUE, "protocol",
                 absl::StrCat(static_cast<int>(request.protocol()), ": must be TCP, UDP or SCTP"));
  const FlowKey flow = {address(request.source_address(), "source_address"),
                        address(request.destination_address(), "destination_address"),
                        Be16::FromHost(static_cast<uint16_t>(request.source_port())),
                        Be16::FromHost(static_cast<uint16_t>(request.destination_port())),
                        static_cast<Protocol>(request.protocol())};
  ValidatePort(request.source_port(), "source_port", problems);
  ValidatePort(request.destination_port(), "destination_port", problems);
  if (problems.Count() == before && flow.source.IsV4() != flow.destination.IsV4())
    problems.Add(
        v1::INVALID_VALUE, "destination_address",
        absl::StrCat(request.destination_address(), ": must be of the same family as source_address"));
  if (problems.Count() > before) return std::nullopt;
  return flow;
}

void ValidateFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems) {
  if (rule.fwmark() == 0) problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".fwmark"), "must not be 0");
  if (rule.protocol() != v1::PROTOCOL_UNSPECIFIED && rule.protocol() != v1::TCP &&
      rule.protocol() != v1::UDP && rule.protocol() != v1::SCTP) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".protocol"),
                 "must be TCP, UDP or SCTP, or absent for all three");
  }
  if (const auto prefix = ParsePrefix(rule.prefix()); !prefix) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".prefix"),
                 absl::StrCat("\"", rule.prefix(),
                              "\": must be an address and a length without host bits, like 10.99.0.0/24"));
  }
  const bool first_is_sound = ValidatePort(rule.first_port(), absl::StrCat(field, ".first_port"), problems);
  if (ValidatePort(rule.last_port(), absl::StrCat(field, ".last_port"), problems) && first_is_sound &&
      rule.last_port() != 0 && rule.last_port() < rule.first_port()) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".last_port"),
                 absl::StrCat(rule.last_port(), ": must not be less than the first, ", rule.first_port()));
  }
}

void ValidateLocalAddress(const v1::LocalAddress& local, const std::string& field, Problems& problems) {
  ValidateAddress(local.address(), absl::StrCat(field, ".address"), problems);
  if (local.interface().empty() || if_nametoindex(local.interface().c_str()) != 0) return;
  if (problems.forgives_absent_interfaces()) return;
  problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".interface"),
               absl::StrCat("\"", local.interface(), "\": this host has no such interface"));
}

void ValidateWhole(const v1::Service& service, const std::string& field, Problems& problems) {
  const auto has_full_nat = [&] {
    return std::any_of(
        service.destinations().begin(), service.destinations().end(),
        [](const v1::Destination& destination) { return destination.method() == v1::FULLNAT; });
  };
  if (service.one_packet() && has_full_nat()) {
    problems.Add(v1::INVALID_VALUE, field,
                 "FULLNAT needs connections, to know whose an answer is: not with one_packet");
  }
  if (service.scheduler() != "mh" || service.destinations_size() <= kMaxMaglevDestinations) return;
  problems.Add(
      v1::INVALID_VALUE, field,
      absl::StrCat(service.destinations_size(), " real servers: mh can have ", kMaxMaglevDestinations));
}

}  // namespace sluice
