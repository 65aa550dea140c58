// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/host_ports.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kHostPortsTable[] = "inet sluice-host-ports";

// Before IPVS, which takes its packets from those that are for the host, at priority 98. Only what begins: an
// answer to the host itself may come to one of these addresses.
std::string HostPortsLayout() {
  std::string commands = absl::StrCat("add table ", kHostPortsTable, "\nadd chain ", kHostPortsTable,
                                      " judge { type filter hook input priority 0; }\nflush chain ",
                                      kHostPortsTable, " judge\n");
  for (const bool is_v4 : {true, false}) {
    const absl::string_view family = is_v4 ? "4" : "6", ip = is_v4 ? "ip" : "ip6",
                            type = is_v4 ? "ipv4_addr" : "ipv6_addr";
    const std::string to = absl::StrCat(ip, " daddr");
    absl::StrAppend(&commands, "add set ", kHostPortsTable, " addresses", family, " { type ", type, "; }\n");
    absl::StrAppend(&commands, "add set ", kHostPortsTable, " services", family, " { type ", type,
                    " . inet_proto . inet_service; }\n");
    absl::StrAppend(&commands, "add set ", kHostPortsTable, " any_port", family, " { type ", type,
                    " . inet_proto; }\n");
    absl::StrAppend(&commands, "add rule ", kHostPortsTable, " judge ", to, " @addresses", family,
                    " meta l4proto { tcp, udp, sctp } ct state new ", to,
                    " . meta l4proto . th dport != @services", family, " ", to,
                    " . meta l4proto != @any_port", family,
                    " counter reject with icmpx type port-unreachable\n");
  }
  return commands;
}

}  // namespace

HostPorts::HostPorts() : table_(kHostPortsTable, HostPortsLayout()) {}

NftTable::Sets HostPorts::SetsOf(const std::set<IpAddress>& addresses, const std::set<ServiceKey>& services) {
  NftTable::Sets sets;
  for (const char* family : {"4", "6"}) {
    for (const char* name : {"addresses", "services", "any_port"}) sets[absl::StrCat(name, family)];
  }
  for (const IpAddress& address : addresses)
    sets[absl::StrCat("addresses", FamilySuffix(address))].insert(address.ToString());
  for (const ServiceKey& key : services) {
    if (key.HasFwmark() || !addresses.contains(key.address)) continue;
    const bool is_of_every_port = key.port == Be16{};
    std::string element = absl::StrCat(key.address.ToString(), " . ", static_cast<int>(key.protocol));
    if (!is_of_every_port) absl::StrAppend(&element, " . ", key.port.ToHost());
    sets[absl::StrCat(is_of_every_port ? "any_port" : "services", FamilySuffix(key.address))].insert(
        std::move(element));
  }
  return sets;
}

absl::Status HostPorts::KeepOff(const std::set<IpAddress>& addresses, const std::set<ServiceKey>& services) {
  return table_.Have(SetsOf(addresses, services));
}

}  // namespace sluice
