// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/print.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {
namespace {

std::string HostName(const std::string& address, bool numeric) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  const bool is_v4 = inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1;
  storage.ss_family = is_v4 ? AF_INET : AF_INET6;
  if (!is_v4) inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr);
  char name[NI_MAXHOST];
  const bool found =
      !numeric && getnameinfo(reinterpret_cast<sockaddr*>(&storage), is_v4 ? sizeof *v4 : sizeof *v6, name,
                              sizeof name, nullptr, 0, NI_NAMEREQD) == 0;
  const std::string text = found ? name : address;
  return is_v4 ? text : absl::StrCat("[", text, "]");
}

std::string PortName(uint32_t port, v1::Protocol protocol, bool numeric) {
  // ipvsadm has no names for the ports of SCTP, nor for those of a mark's servers.
  if (!numeric && port != 0 && (protocol == v1::TCP || protocol == v1::UDP)) {
    const servent* known =
        getservbyport(htons(static_cast<uint16_t>(port)), protocol == v1::UDP ? "udp" : "tcp");
    if (known != nullptr) return known->s_name;
  }
  return absl::StrCat(port);
}

std::string ServiceName(const v1::ServiceKey& key, bool numeric) {
  if (key.fwmark() != 0) return absl::StrCat("FWM  ", key.fwmark(), key.family() == v1::IPV6 ? " IPv6" : "");
  const char* protocol = key.protocol() == v1::UDP ? "UDP" : key.protocol() == v1::SCTP ? "SCTP" : "TCP";
  return absl::StrFormat("%-4s %s", protocol,
                         AddressAndPort(key.address(), key.port(), key.protocol(), numeric));
}

// Templates of a mark have none.
const char* ConnectionProtocol(v1::Protocol protocol) {
  switch (protocol) {
    case v1::TCP: return "TCP";
    case v1::UDP: return "UDP";
    case v1::SCTP: return "SCTP";
    default: return "IP";
  }
}

const char* MethodName(v1::ForwardingMethod method) {
  switch (method) {
    case v1::NAT: return "Masq";
    case v1::FULLNAT: return "FullNat";
    case v1::TUN: return "Tunnel";
    default: return "Route";
  }
}

// "ipip", "gue:6080:-c", "gre:+c"; "n/a" for what is no tunnel.
std::string TunnelInfo(const v1::Destination& destination) {
  if (destination.method() != v1::TUN) return "n/a";
  const v1::Tunnel& tunnel = destination.tunnel();
  if (tunnel.type() == v1::IPIP) return "ipip";
  const char* checksum = tunnel.checksum() == v1::TUNNEL_CSUM      ? "+c"
                         : tunnel.checksum() == v1::TUNNEL_REMCSUM ? "r+c"
                                                                   : "-c";
  return tunnel.type() == v1::GUE ? absl::StrCat("gue:", tunnel.port(), ":", checksum)
                                  : absl::StrCat("gre:", checksum);
}

// What follows a service's address in the plain table.
std::string Settings(const v1::Service& service) {
  std::string text = absl::StrCat(" ", service.scheduler());
  if (service.scheduler_flags_size() > 0) absl::StrAppend(&text, " (", FlagNames(service), ")");
  if (service.has_persistence()) {
    absl::StrAppend(&text, " persistent ", service.persistence().timeout_seconds());
    if (HasMask(service.persistence())) absl::StrAppend(&text, " mask ", service.persistence().netmask());
    if (!service.persistence().engine().empty())
      absl::StrAppend(&text, " pe ", service.persistence().engine());
  }
  if (service.one_packet()) absl::StrAppend(&text, " ops");
  return text;
}

template <class Figures>
std::string PrintFigures(const Figures& statistics, bool exact) {
  std::string text;
  for (const uint64_t value : {statistics.connections(), statistics.in_packets(), statistics.out_packets(),
                               statistics.in_bytes(), statistics.out_bytes()}) {
    absl::StrAppend(&text, " ", PrintLarge(value, exact));
  }
  return text;
}

// Addresses sort as numbers: IPv4 before IPv6, each by its bytes.
std::string SortKey(const std::string& address, uint32_t port) {
  char bytes[17] = {};
  if (inet_pton(AF_INET, address.c_str(), bytes + 1) == 1) {
    bytes[0] = 4;
  } else {
    bytes[0] = 6;
    inet_pton(AF_INET6, address.c_str(), bytes + 1);
  }
  return absl::StrCat(absl::string_view(bytes, sizeof bytes), absl::StrFormat("%05d", port));
}

// IPv4 first, then by protocol, address and port; marks last.
auto ServiceOrder(const v1::ServiceKey& key) {
  const std::string address = SortKey(key.address(), key.port());
  return std::make_tuple(key.fwmark(), address[0], static_cast<int>(key.protocol()), address);
}

// What follows a destination's address, by the table that was asked for.
std::string Columns(const v1::DestinationStatus& status, const Command& command) {
  const v1::Destination& destination = status.destination();
  const uint32_t active = status.active_connections();
  const uint32_t inactive = status.inactive_connections();
  if (command.statistics) return PrintFigures(status.statistics(), command.exact);
  if (command.rates) return PrintFigures(status.rates(), command.exact);
  if (command.thresholds) {
    return absl::StrFormat(" %-10u %-10u %-10u %-10u", destination.upper_threshold(),
                           destination.lower_threshold(), active, inactive);
  }
  if (command.persistent_connections) {
    return absl::StrFormat(" %-9d %-11u %-10u %-10u", destination.weight(), status.persistent_connections(),
                           active, inactive);
  }
  if (command.tunnels) {
    return absl::StrFormat(" %-7s %-13s %-6d %-10u %-10u", MethodName(destination.method()),
                           TunnelInfo(destination), destination.weight(), active, inactive);
  }
  return absl::StrFormat(" %-7s %-6d %-10u %-10u", MethodName(destination.method()), destination.weight(),
                         active, inactive);
}

std::string Title(const Command& command) {
  if (command.statistics) {
    return "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
           "  -> RemoteAddress:Port\n";
  }
  if (command.rates) {
    return "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n"
           "  -> RemoteAddress:Port\n";
  }
  if (command.thresholds) {
    return "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
           "  -> RemoteAddress:Port\n";
  }
  if (command.persistent_connections) {
    return "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
           "  -> RemoteAddress:Port\n";
  }
  if (command.tunnels) {
    return "Prot LocalAddress:Port Scheduler Flags\n"
           "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n";
  }
  return "Prot LocalAddress:Port Scheduler Flags\n"
         "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";
}

std::string PrintService(const v1::ServiceStatus& status, const Command& command) {
  const v1::Service& service = status.service();
  std::string text = ServiceName(service.key(), command.numeric);
  if (command.statistics) {
    text = absl::StrFormat("%-33s%s\n", text, PrintFigures(status.statistics(), command.exact));
  } else if (command.rates) {
    text = absl::StrFormat("%-33s%s\n", text, PrintFigures(status.rates(), command.exact));
  } else {
    absl::StrAppend(&text, Settings(service), "\n");
  }
  std::vector<const v1::DestinationStatus*> destinations;
  for (const v1::DestinationStatus& destination : status.destinations()) destinations.push_back(&destination);
  if (!command.unsorted) {
    std::stable_sort(destinations.begin(), destinations.end(), [](const auto* a, const auto* b) {
      return ComesBefore(a->destination(), b->destination());
    });
  }
  for (const v1::DestinationStatus* each : destinations) {
    const v1::Destination& destination = each->destination();
    const std::string name =
        AddressAndPort(destination.address(), destination.port(), service.key().protocol(), command.numeric);
    absl::StrAppendFormat(&text, "  -> %-28s%s\n", name, Columns(*each, command));
  }
  return text;
}

}  // namespace

std::string AddressAndPort(const std::string& address, uint32_t port, v1::Protocol protocol, bool numeric) {
  return absl::StrCat(HostName(address, numeric), ":", PortName(port, protocol, numeric));
}

std::string FlagNames(const v1::Service& service) {
  std::string names;
  for (const int flag : service.scheduler_flags()) {
    const std::string& scheduler = service.scheduler();
    std::string name = absl::StrCat("flag-", flag);
    if ((scheduler == "sh" || scheduler == "mh") && flag != v1::FLAG_3)
      name = absl::StrCat(scheduler, flag == v1::FLAG_1 ? "-fallback" : "-port");
    absl::StrAppend(&names, names.empty() ? "" : ",", name);
  }
  return names;
}

bool HasMask(const v1::Persistence& persistence) {
  return !persistence.netmask().empty() && persistence.netmask() != "255.255.255.255";
}

bool ComesBefore(const v1::ServiceKey& a, const v1::ServiceKey& b) {
  return ServiceOrder(a) < ServiceOrder(b);
}

bool ComesBefore(const v1::Destination& a, const v1::Destination& b) {
  return SortKey(a.address(), a.port()) < SortKey(b.address(), b.port());
}

std::string PrintLarge(uint64_t number, bool exact) {
  constexpr uint64_t kMillion = 1'000'000;
  if (exact || number < 100 * kMillion) return absl::StrFormat("%8d", number);
  if (number < 1000 * kMillion) return absl::StrFormat("%7dK", number / 1000);
  if (number < 100'000 * kMillion) return absl::StrFormat("%7dM", number / kMillion);
  if (number < 100 * kMillion * kMillion) return absl::StrFormat("%7dG", number / (1000 * kMillion));
  return absl::StrFormat("%7dT", number / (kMillion * kMillion));
}

std::string PrintServices(const v1::ListServicesResponse& services, const Command& command) {
  std::string text;
  if (!command.key)
    text = absl::StrCat("IP Virtual Server version 1.2.1 (size=", services.connection_capacity(), ")\n");
  text += Title(command);
  std::vector<const v1::ServiceStatus*> sorted;
  for (const v1::ServiceStatus& service : services.services()) sorted.push_back(&service);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return ComesBefore(a->service().key(), b->service().key());
  });
  for (const v1::ServiceStatus* service : sorted) text += PrintService(*service, command);
  return text;
}

std::string PrintDaemon(const v1::SyncDaemon& daemon) {
  return absl::StrCat("master sync daemon (mcast=", daemon.interface(), ", syncid=", daemon.sync_id(),
                      ", maxlen=", daemon.max_length(), ", group=", daemon.group(), ", port=", daemon.port(),
                      ", ttl=", daemon.ttl(), ")\n");
}

std::string ConnectionsTitle() {
  return "IPVS connection entries\n"
         "pro expire state       source             virtual            destination\n";
}

std::string PrintConnection(const v1::Connection& connection, bool numeric) {
  const uint32_t seconds = connection.expires_seconds();
  const v1::Protocol protocol = connection.protocol();
  return absl::StrFormat(
      "%-3s %02d:%02d  %-11s %-18s %-18s %s\n", ConnectionProtocol(protocol), seconds / 60, seconds % 60,
      connection.state(),
      AddressAndPort(connection.client_address(), connection.client_port(), protocol, numeric),
      AddressAndPort(connection.virtual_address(), connection.virtual_port(), protocol, numeric),
      AddressAndPort(connection.destination_address(), connection.destination_port(), protocol, numeric));
}

std::string PrintSettings(const v1::Settings& settings) {
  const google::protobuf::Descriptor* known = v1::Settings::descriptor();
  const google::protobuf::Reflection* reflection = settings.GetReflection();
  std::string text;
  for (int i = 0; i < known->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = known->field(i);
    const bool is_switch = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL;
    const uint32_t value =
        is_switch ? reflection->GetBool(settings, field) : reflection->GetUInt32(settings, field);
    absl::StrAppend(&text, field->name(), " = ", value, "\n");
  }
  return text;
}

std::string PrintFwmarkRule(const v1::FwmarkRule& rule) {
  std::string text = absl::StrCat(rule.fwmark(), ",",
                                  rule.protocol() == v1::PROTOCOL_UNSPECIFIED
                                      ? "any"
                                      : absl::AsciiStrToLower(v1::Protocol_Name(rule.protocol())),
                                  ",", rule.prefix());
  if (rule.first_port() != 0 || rule.last_port() != 0) absl::StrAppend(&text, ",", rule.first_port());
  if (rule.last_port() != 0 && rule.last_port() != rule.first_port())
    absl::StrAppend(&text, "-", rule.last_port());
  return text + "\n";
}

std::string PrintLocalAddresses(const v1::Config& config, const v1::GetInfoResponse& info) {
  std::map<std::string, std::string> lines;
  for (const v1::LocalAddress& local : config.local_addresses()) {
    const std::string interface = local.interface().empty() ? "" : absl::StrCat("%", local.interface());
    lines[local.address()] =
        absl::StrFormat("%-39s %10d %10s %s\n", local.address() + interface, 0, "-", "-");
  }
  for (const v1::LocalAddressInfo& local : info.local_addresses()) {
    lines[local.address()] = absl::StrFormat("%-39s %10d %10d %s\n", local.address(), local.ports_taken(),
                                             local.fewest_free(), local.fewest_free_towards());
  }
  std::string text =
      absl::StrFormat("%-39s %10s %10s %s\n", "LocalAddress", "PortsTaken", "FewestFree", "Towards");
  for (const auto& [address, line] : lines) text += line;
  return text;
}

std::string PrintTimeouts(const v1::Timeouts& timeouts) {
  return absl::StrFormat("Timeout (tcp tcpfin udp): %d %d %d\n", timeouts.tcp_seconds(),
                         timeouts.tcp_fin_seconds(), timeouts.udp_seconds());
}

}  // namespace sluice
