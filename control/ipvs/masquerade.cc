// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/masquerade.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kMasqueradeTable[] = "inet sluice";
constexpr const char* kProtocols[] = {"tcp", "udp", "sctp"};

std::string SetOf(Protocol protocol) {
  return protocol == Protocol::kTcp ? "tcp" : protocol == Protocol::kUdp ? "udp" : "sctp";
}
std::string EndpointElement(const Endpoint& service) {
  return absl::StrCat(service.address.ToString(), " . ", service.port.ToHost());
}

// Sets end in their family.
std::string LayoutOfFamily(const char* family) {
  const bool is_v4 = family[0] == '4';
  const absl::string_view ip = is_v4 ? "ip" : "ip6", address = is_v4 ? "ipv4_addr" : "ipv6_addr";
  std::string commands;
  const auto set = [&](absl::string_view name, absl::string_view type, absl::string_view flags) {
    absl::StrAppend(&commands, "add set ", kMasqueradeTable, " ", name, family, " { type ", type, "; ", flags, "}\n");
  };
  const auto rule = [&](auto... words) {
    absl::StrAppend(&commands, "add rule ", kMasqueradeTable, " ", words..., "\n");
  };
  const std::string endpoint = absl::StrCat(address, " . inet_service");
  set("own_clients", absl::StrCat(address, " . ", address), "");
  rule("sources ", ip, " saddr . ", ip, " daddr @own_clients", family, " masquerade");
  set("addresses", address, "");
  rule("sources oifname != \"lo\" fib saddr type local ct original ", ip, " daddr @addresses", family,
       " masquerade");
  for (const char* protocol : kProtocols) {
    const std::string service =
        absl::StrCat("meta l4proto ", protocol, " ct original ", ip, " daddr . ct original proto-dst ");
    const std::string keeps = absl::StrCat(protocol, "_keeps");
    set(keeps, absl::StrCat(endpoint, " . ", address), "flags interval; ");
    rule("sources ", service, ". ct original ", ip, " saddr @", keeps, family, " return");
    set(protocol, endpoint, "");
    rule("sources ", service, "@", protocol, family, " masquerade");
  }
  const std::string unknown = absl::StrCat("hold ct state { new, invalid } tcp flags & (syn | rst) == 0 ");
  set("held", endpoint, "flags timeout; ");
  rule(unknown, ip, " daddr . tcp dport @held", family, " drop");
  set("locals", address, "flags timeout; ");
  rule(unknown, "tcp dport >= 1024 ", ip, " daddr @locals", family, " drop");
  return commands;
}

std::string MasqueradeLayout() {
  return absl::StrCat("add table ", kMasqueradeTable, "\nadd chain ", kMasqueradeTable,
                      " sources { type nat hook postrouting priority srcnat; }\nadd chain ", kMasqueradeTable,
                      " hold { type filter hook input priority filter - 10; }\nflush chain ", kMasqueradeTable,
                      " sources\nflush chain ", kMasqueradeTable, " hold\n", LayoutOfFamily("4"), LayoutOfFamily("6"));
}

NftTable::Sets NoElements() {
  NftTable::Sets sets;
  for (const char* family : {"4", "6"}) {
    for (const char* name : {"own_clients", "addresses"}) sets[absl::StrCat(name, family)];
    for (const char* protocol : kProtocols) {
      sets[absl::StrCat(protocol, family)];
      sets[absl::StrCat(protocol, "_keeps", family)];
    }
  }
  return sets;
}

std::string AddElement(absl::string_view set, const IpAddress& address, absl::string_view what) {
  return absl::StrCat("add element ", kMasqueradeTable, " ", set, FamilySuffix(address), " { ", what, " }\n");
}

}  // namespace

Masquerade::Masquerade() : table_(kMasqueradeTable, MasqueradeLayout()) {}

bool Masquerade::IsPossible() {
  int conntrack = 0;
  std::ifstream("/proc/sys/net/ipv4/vs/conntrack") >> conntrack;
  return conntrack == 1;
}

absl::Status Masquerade::Set(const std::map<ServiceKey, PacketNeeds>& services,
                             const std::set<IpAddress>& addresses) {
  NftTable::Sets sets = NoElements();
  std::set<Endpoint> full_nat;
  for (const auto& [key, needs] : services) {
    const std::string family = FamilySuffix(key.address);
    for (const IpAddress& each : needs.own_clients)
      sets[absl::StrCat("own_clients", FamilySuffix(each))].insert(
          absl::StrCat(each.ToString(), " . ", each.ToString()));
    if (!needs.masquerade) continue;
    full_nat.insert(key);
    sets[SetOf(key.protocol) + family].insert(EndpointElement(key));
    for (const auto& range : needs.keeps)
      sets[absl::StrCat(SetOf(key.protocol), "_keeps", family)].insert(
          absl::StrCat(EndpointElement(key), " . ", RangeText(range)));
  }
  for (const IpAddress& each : addresses)
    sets[absl::StrCat("addresses", FamilySuffix(each))].insert(each.ToString());
  const MutexLock lock(mutex_);
  const bool is_wanted =
      std::any_of(sets.begin(), sets.end(), [](const auto& each) { return !each.second.empty(); });
  if (!is_wanted && !table_.is_there() && !IsPossible()) return absl::OkStatus();
  services_ = std::move(full_nat);
  return table_.Have(sets);
}

absl::Status Masquerade::Hold(const std::set<IpAddress>& local_addresses, std::chrono::seconds time) {
  const MutexLock lock(mutex_);
  if (!table_.is_there() || services_.empty()) return absl::OkStatus();
  const std::string limit = absl::StrCat(" timeout ", time.count(), "s");
  std::string commands;
  for (const Endpoint& each : services_) {
    if (each.protocol == Protocol::kTcp)
      commands += AddElement("held", each.address, absl::StrCat(EndpointElement(each), limit));
  }
  for (const IpAddress& each : local_addresses)
    commands += AddElement("locals", each, absl::StrCat(each.ToString(), limit));
  return table_.Run(commands);
}

void Masquerade::Forget() {
  const MutexLock lock(mutex_);
  table_.Forget();
}

}  // namespace sluice
