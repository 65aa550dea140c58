// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/source_guard.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kGuardTable[] = "inet sluice-guard";

// Before IPVS takes what comes from outside, and before it takes what the host sends.
std::string GuardLayout() {
  std::string commands =
      absl::StrCat("add table ", kGuardTable, "\nadd chain ", kGuardTable, " judge\nflush chain ", kGuardTable, " judge\n");
  for (const absl::string_view hook : {"prerouting", "output"})
    absl::StrAppend(&commands, "add chain ", kGuardTable, " ", hook, " { type filter hook ", hook,
                    " priority -160; }\nflush chain ", kGuardTable, " ", hook, "\nadd rule ", kGuardTable, " ", hook,
                    " jump judge\n");
  for (const bool is_v4 : {true, false}) {
    const absl::string_view family = is_v4 ? "4" : "6", ip = is_v4 ? "ip" : "ip6",
                            address = is_v4 ? "ipv4_addr" : "ipv6_addr";
    const std::string any_port = absl::StrCat(address, " . inet_proto");
    const std::string service = any_port + " . inet_service";
    const std::string to_any_port = absl::StrCat(ip, " daddr . meta l4proto");
    const std::string packet = to_any_port + " . th dport";
    const auto set = [&](absl::string_view name, absl::string_view type, absl::string_view flags = "") {
      absl::StrAppend(&commands, "add set ", kGuardTable, " ", name, family, " { type ", type, "; ", flags, "}\n");
    };
    set("guarded", service);
    set("clients", absl::StrCat(service, " . ", address), "flags interval; ");
    set("guarded_any_port", any_port);
    set("clients_any_port", absl::StrCat(any_port, " . ", address), "flags interval; ");
    set("names", service);
    absl::StrAppend(&commands, "add rule ", kGuardTable, " judge ", packet, " @guarded", family, " ", packet,
                    " . ", ip, " saddr != @clients", family, " counter drop\nadd rule ", kGuardTable, " judge ",
                    to_any_port, " @guarded_any_port", family, " ", packet, " != @names", family, " ",
                    to_any_port, " . ", ip, " saddr != @clients_any_port", family, " counter drop\n");
  }
  return commands;
}

bool IsOfEveryPort(const ServiceKey& key) { return key.port == Be16{}; }

std::string ServiceElement(const ServiceKey& key) {
  const std::string host = absl::StrCat(key.address.ToString(), " . ", static_cast<int>(key.protocol));
  return IsOfEveryPort(key) ? host : absl::StrCat(host, " . ", key.port.ToHost());
}

}  // namespace

SourceGuard::SourceGuard() : table_(kGuardTable, GuardLayout()) {}

absl::Status SourceGuard::Set(const std::map<ServiceKey, PacketNeeds::Ranges>& clients,
                              const std::set<ServiceKey>& names) {
  NftTable::Sets sets;
  for (const char* family : {"4", "6"}) {
    for (const char* name : {"guarded", "clients", "guarded_any_port", "clients_any_port", "names"})
      sets[absl::StrCat(name, family)];
  }
  std::set<std::pair<IpAddress, Protocol>> of_every_port;
  for (const auto& [key, ranges] : clients) {
    const std::string kind = absl::StrCat(IsOfEveryPort(key) ? "_any_port" : "", FamilySuffix(key.address));
    if (IsOfEveryPort(key)) of_every_port.emplace(key.address, key.protocol);
    sets["guarded" + kind].insert(ServiceElement(key));
    for (const auto& range : ranges)
      sets["clients" + kind].insert(absl::StrCat(ServiceElement(key), " . ", RangeText(range)));
  }
  for (const ServiceKey& key : names) {
    if (!IsOfEveryPort(key) && of_every_port.contains({key.address, key.protocol}))
      sets[absl::StrCat("names", FamilySuffix(key.address))].insert(ServiceElement(key));
  }
  return table_.Have(sets);
}

}  // namespace sluice
