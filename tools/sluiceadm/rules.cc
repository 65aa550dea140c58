// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/sluiceadm/change.h"
#include "tools/sluiceadm/print.h"

namespace sluice {
namespace {

std::string LocalName(const v1::LocalAddress& local) {
  return absl::StrCat(local.address(), local.interface().empty() ? "" : "%", local.interface());
}

std::string LocalNames(const google::protobuf::RepeatedPtrField<v1::LocalAddress>& addresses) {
  return absl::StrJoin(addresses, ",", [](std::string* text, const v1::LocalAddress& local) {
    absl::StrAppend(text, LocalName(local));
  });
}

// "-t 10.0.0.1:80", "-f 7 -6"
std::string ServiceWords(const v1::ServiceKey& key, bool numeric) {
  if (key.fwmark() != 0) return absl::StrCat("-f ", key.fwmark(), key.family() == v1::IPV6 ? " -6" : "");
  const char* option = key.protocol() == v1::UDP    ? "-u "
                       : key.protocol() == v1::SCTP ? "--sctp-service "
                                                    : "-t ";
  return absl::StrCat(option, AddressAndPort(key.address(), key.port(), key.protocol(), numeric));
}

// What only Sluice has; a rule without it would be another service.
std::string OwnWords(const v1::Service& service) {
  std::string text;
  const auto add = [&](const char* option, const auto& value) {
    absl::StrAppend(&text, " --", option, " ", value);
  };
  if (service.persistence().strict()) text += " --strict-persistence";
  if (service.timeouts().tcp_seconds() > 0) add("timeout-tcp", service.timeouts().tcp_seconds());
  if (service.timeouts().tcp_fin_seconds() > 0) add("timeout-tcpfin", service.timeouts().tcp_fin_seconds());
  if (service.timeouts().udp_seconds() > 0) add("timeout-udp", service.timeouts().udp_seconds());
  if (service.drain_seconds() > 0) add("drain", service.drain_seconds());
  if (service.no_destination() == v1::TCP_RESET) add("no-destination", "reset");
  if (service.no_destination() == v1::SILENCE) add("no-destination", "drop");
  if (service.allow_sources_size() > 0) add("allow", absl::StrJoin(service.allow_sources(), ","));
  if (service.deny_sources_size() > 0) add("deny", absl::StrJoin(service.deny_sources(), ","));
  if (service.local_addresses_size() > 0) add("laddr", LocalNames(service.local_addresses()));
  return text;
}

std::string ServiceRule(const v1::Service& service, bool numeric) {
  std::string text = absl::StrCat("-A ", ServiceWords(service.key(), numeric), " -s ", service.scheduler());
  if (service.has_persistence()) {
    const v1::Persistence& persistence = service.persistence();
    absl::StrAppend(&text, " -p ", persistence.timeout_seconds());
    if (HasMask(persistence)) absl::StrAppend(&text, " -M ", persistence.netmask());
    if (!persistence.engine().empty()) absl::StrAppend(&text, " --pe ", persistence.engine());
  }
  if (service.one_packet()) text += " -o";
  if (service.scheduler_flags_size() > 0) absl::StrAppend(&text, " -b ", FlagNames(service));
  return absl::StrCat(text, OwnWords(service), "\n");
}

std::string TunnelWords(const v1::Tunnel& tunnel) {
  if (tunnel.type() == v1::IPIP) return " --tun-type ipip";
  const char* checksum = tunnel.checksum() == v1::TUNNEL_CSUM      ? " --tun-csum"
                         : tunnel.checksum() == v1::TUNNEL_REMCSUM ? " --tun-remcsum"
                                                                   : " --tun-nocsum";
  if (tunnel.type() == v1::GUE) return absl::StrCat(" --tun-type gue --tun-port ", tunnel.port(), checksum);
  return absl::StrCat(" --tun-type gre", checksum);
}

std::string ServerRule(const v1::ServiceKey& key, const v1::Destination& server, const Command& command) {
  const char* method = server.method() == v1::NAT       ? "-m"
                       : server.method() == v1::FULLNAT ? "--fullnat"
                       : server.method() == v1::TUN     ? "-i"
                                                        : "-g";
  std::string text =
      absl::StrCat("-a ", ServiceWords(key, command.numeric), " -r ",
                   AddressAndPort(server.address(), server.port(), key.protocol(), command.numeric), " ",
                   method, " -w ", server.weight());
  if (server.method() == v1::TUN) text += TunnelWords(server.tunnel());
  if (command.complete && server.upper_threshold() > 0)
    absl::StrAppend(&text, " -x ", server.upper_threshold());
  if (command.complete && server.lower_threshold() > 0)
    absl::StrAppend(&text, " -y ", server.lower_threshold());
  return text + "\n";
}

std::string GlobalRules(const v1::Config& config) {
  const v1::Timeouts& timeouts = config.timeouts();
  std::string text = absl::StrCat("--set ", timeouts.tcp_seconds(), " ", timeouts.tcp_fin_seconds(), " ",
                                  timeouts.udp_seconds(), "\n");
  for (const absl::string_view line :
       absl::StrSplit(PrintSettings(config.settings()), '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, " = ");
    absl::StrAppend(&text, "--set-sysctl ", parts.first, "=", parts.second, "\n");
  }
  for (const v1::FwmarkRule& rule : config.fwmark_rules())
    absl::StrAppend(&text, "--add-fwmark-rule ", PrintFwmarkRule(rule));
  for (const v1::LocalAddress& local : config.local_addresses())
    absl::StrAppend(&text, "--add-laddr ", LocalName(local), "\n");
  return text;
}

}  // namespace

std::string PrintRules(const v1::Config& config, const Command& command) {
  std::vector<const v1::Service*> services;
  for (const v1::Service& service : config.services()) services.push_back(&service);
  std::stable_sort(services.begin(), services.end(),
                   [](const auto* a, const auto* b) { return ComesBefore(a->key(), b->key()); });
  std::string text = command.complete ? GlobalRules(config) : "";
  for (const v1::Service* service : services) {
    text += ServiceRule(*service, command.numeric);
    std::vector<const v1::Destination*> servers;
    for (const v1::Destination& server : service->destinations()) servers.push_back(&server);
    // The newest comes last again when the rules are restored.
    if (!command.complete) {
      std::stable_sort(servers.begin(), servers.end(),
                       [](const auto* a, const auto* b) { return ComesBefore(*a, *b); });
    }
    for (const v1::Destination* server : servers) text += ServerRule(service->key(), *server, command);
  }
  return text;
}

Rules ParseRules(const std::string& program, std::istream& rules, bool comments) {
  Rules result;
  std::string line;
  for (int number = 1; std::getline(rules, line); ++number) {
    if (comments && line.starts_with('#')) continue;
    std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (!words.empty() && (words[0] == "ipvsadm" || words[0] == "sluiceadm")) words.erase(words.begin());
    if (words.empty()) continue;
    std::variant<Command, UsageError> parsed = ParseCommandLine(program, words);
    if (auto* error = std::get_if<UsageError>(&parsed)) {
      result.error = *error;
    } else if (!IsChange(std::get<Command>(parsed).verb)) {
      result.error = {absl::StrCat("Try `", program, " -h' or '", program, " --help' for more information."),
                      255};
    }
    if (result.error) {
      result.error_line = number;
      return result;
    }
    result.commands.push_back(std::get<Command>(std::move(parsed)));
    result.lines.push_back(number);
  }
  return result;
}

}  // namespace sluice
