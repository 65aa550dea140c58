// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/source_guard.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kTable[] = "inet sluice-guard";

// Before IPVS takes what comes from outside, and before it takes what the host sends.
std::string Layout() {
  std::string commands =
      absl::StrCat("add table ", kTable, "\nadd chain ", kTable, " judge\nflush chain ", kTable, " judge\n");
  for (const absl::string_view hook : {"prerouting", "output"})
    absl::StrAppend(&commands, "add chain ", kTable, " ", hook, " { type filter hook ", hook,
                    " priority -160; }\nflush chain ", kTable, " ", hook, "\nadd rule ", kTable, " ", hook,
                    " jump judge\n");
  for (const bool is_v4 : {true, false}) {
    const absl::string_view family = is_v4 ? "4" : "6", ip = is_v4 ? "ip" : "ip6",
                            address = is_v4 ? "ipv4_addr" : "ipv6_addr";
    const std::string service = absl::StrCat(address, " . inet_proto . inet_service");
    const std::string packet = absl::StrCat(ip, " daddr . meta l4proto . th dport");
    absl::StrAppend(&commands, "add set ", kTable, " guarded", family, " { type ", service,
                    "; flags interval; }\nadd set ", kTable, " clients", family, " { type ", service, " . ",
                    address, "; flags interval; }\nadd rule ", kTable, " judge ", packet, " @guarded", family,
                    " ", packet, " . ", ip, " saddr != @clients", family, " counter drop\n");
  }
  return commands;
}

std::string NameOf(const ServiceKey& key) {
  const uint16_t port = key.port.ToHost();
  return absl::StrCat(key.address.ToString(), " . ", static_cast<int>(key.protocol), " . ",
                      port == 0 ? "0-65535" : absl::StrCat(port));
}

}  // namespace

SourceGuard::SourceGuard() : table_(kTable, Layout()) {}

absl::Status SourceGuard::Set(const std::map<ServiceKey, PacketNeeds::Ranges>& clients) {
  NftTable::Sets sets = {{"guarded4", {}}, {"guarded6", {}}, {"clients4", {}}, {"clients6", {}}};
  for (const auto& [key, ranges] : clients) {
    const char* family = key.address.IsV4() ? "4" : "6";
    sets[absl::StrCat("guarded", family)].insert(NameOf(key));
    for (const auto& range : ranges)
      sets[absl::StrCat("clients", family)].insert(absl::StrCat(NameOf(key), " . ", RangeText(range)));
  }
  return table_.Have(sets);
}

}  // namespace sluice
