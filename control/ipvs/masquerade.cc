// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/masquerade.h"

#include <nftables/libnftables.h>

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kTable[] = "inet sluice";

// A rule for each family and protocol, and a set of (address, port) for each rule.
std::string Layout() {
  std::string commands =
      absl::StrCat("add table ", kTable, "\nadd chain ", kTable,
                   " sources { type nat hook postrouting priority srcnat; }\nadd chain ", kTable,
                   " hold { type filter hook input priority filter - 10; }\nflush chain ", kTable,
                   " sources\nflush chain ", kTable, " hold\n");
  for (const auto& [family, ip] : {std::pair("4", "ip"), std::pair("6", "ip6")}) {
    const std::string type =
        absl::StrCat(" { type ", family[0] == '4' ? "ipv4_addr" : "ipv6_addr", " . inet_service; ");
    for (const absl::string_view protocol : {"tcp", "udp", "sctp"}) {
      const std::string set = absl::StrCat(protocol, family);
      absl::StrAppend(&commands, "add set ", kTable, " ", set, type, "}\nflush set ", kTable, " ", set,
                      "\nadd rule ", kTable, " sources meta l4proto ", protocol, " ct original ", ip,
                      " daddr . ct original proto-dst @", set, " masquerade\n");
    }
    const std::string unknown = " hold ct state { new, invalid } tcp flags & (syn | rst) == 0 ";
    absl::StrAppend(&commands, "add set ", kTable, " held", family, type, "flags timeout; }\nadd rule ",
                    kTable, unknown, ip, " daddr . tcp dport @held", family, " drop\n");
    absl::StrAppend(&commands, "add set ", kTable, " locals", family, " { type ",
                    family[0] == '4' ? "ipv4_addr" : "ipv6_addr", "; flags timeout; }\nadd rule ", kTable,
                    unknown, "tcp dport >= 1024 ", ip, " daddr @locals", family, " drop\n");
  }
  return commands;
}

std::string NameOf(Protocol protocol) {
  return protocol == Protocol::kTcp ? "tcp" : protocol == Protocol::kUdp ? "udp" : "sctp";
}

std::string AddElement(absl::string_view set, const IpAddress& address, absl::string_view what) {
  return absl::StrCat("add element ", kTable, " ", set, address.IsV4() ? "4" : "6", " { ", what, " }\n");
}
std::string NameOf(const Endpoint& service) {
  return absl::StrCat(service.address.ToString(), " . ", service.port.ToHost());
}

}  // namespace

Masquerade::Masquerade() : context_(nft_ctx_new(NFT_CTX_DEFAULT)) {
  if (context_ == nullptr) return;
  nft_ctx_buffer_output(context_);
  nft_ctx_buffer_error(context_);
}

Masquerade::~Masquerade() {
  if (context_ != nullptr) nft_ctx_free(context_);
}

bool Masquerade::IsPossible() {
  int conntrack = 0;
  std::ifstream("/proc/sys/net/ipv4/vs/conntrack") >> conntrack;
  return conntrack == 1;
}

absl::Status Masquerade::SetServices(const std::set<Endpoint>& services) {
  const MutexLock lock(mutex_);
  if (is_known_ ? services == services_ : services.empty() && !IsPossible()) return absl::OkStatus();
  std::string commands = Layout();
  for (const Endpoint& each : services)
    commands += AddElement(NameOf(each.protocol), each.address, NameOf(each));
  if (services.empty()) commands = absl::StrCat("add table ", kTable, "\ndelete table ", kTable, "\n");
  const absl::Status done = Run(commands);
  is_known_ = done.ok();
  services_ = services;
  return done;
}

absl::Status Masquerade::Hold(const std::set<IpAddress>& local_addresses, std::chrono::seconds time) {
  const MutexLock lock(mutex_);
  if (!is_known_ || services_.empty()) return absl::OkStatus();
  const std::string limit = absl::StrCat(" timeout ", time.count(), "s");
  std::string commands;
  for (const Endpoint& each : services_) {
    if (each.protocol == Protocol::kTcp)
      commands += AddElement("held", each.address, absl::StrCat(NameOf(each), limit));
  }
  for (const IpAddress& each : local_addresses)
    commands += AddElement("locals", each, absl::StrCat(each.ToString(), limit));
  return Run(commands);
}

absl::Status Masquerade::Run(const std::string& commands) {
  if (context_ == nullptr) return absl::ResourceExhaustedError("nftables: no memory");
  if (nft_run_cmd_from_buffer(context_, commands.c_str()) == 0) return absl::OkStatus();
  const absl::string_view said = nft_ctx_get_error_buffer(context_);
  return absl::InternalError(
      absl::StrCat("table ", kTable, " of nftables: ", said.substr(0, said.find('\n'))));
}

}  // namespace sluice
