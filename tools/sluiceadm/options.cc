// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/options.h"

namespace sluice {
namespace {

// The first column of messages about an option is its long name, as in ipvsadm.
constexpr Option kOptions[] = {
    {'A', "add-service", Argument::kNone},
    {'E', "edit-service", Argument::kNone},
    {'D', "delete-service", Argument::kNone},
    {'C', "clear", Argument::kNone},
    {'L', "list", Argument::kNone},
    {'l', "list", Argument::kNone},
    {'a', "add-server", Argument::kNone},
    {'e', "edit-server", Argument::kNone},
    {'d', "delete-server", Argument::kNone},
    {0, "set", Argument::kNone},
    {'h', "help", Argument::kNone},
    {'R', "restore", Argument::kNone},
    {'S', "save", Argument::kNone},
    {'Z', "zero", Argument::kNone},
    {0, "start-daemon", Argument::kRequired},
    {0, "stop-daemon", Argument::kRequired},
    {0, "syncid", Argument::kRequired},
    {0, "sync-maxlen", Argument::kRequired},
    {0, "mcast-interface", Argument::kRequired},
    {0, "mcast-group", Argument::kRequired},
    {0, "mcast-port", Argument::kRequired},
    {0, "mcast-ttl", Argument::kRequired},
    {'t', "tcp-service", Argument::kRequired},
    {'u', "udp-service", Argument::kRequired},
    {0, "sctp-service", Argument::kRequired},
    {'f', "fwmark-service", Argument::kRequired},
    {'6', "ipv6", Argument::kNone},
    {'s', "scheduler", Argument::kRequired},
    {'p', "persistent", Argument::kOptional},
    {'M', "netmask", Argument::kRequired},
    {0, "pe", Argument::kRequired},
    {'b', "sched-flags", Argument::kRequired},
    {'o', "ops", Argument::kNone},
    {'r', "real-server", Argument::kRequired},
    {'g', "gatewaying", Argument::kNone},
    {'i', "ipip", Argument::kNone},
    {'m', "masquerading", Argument::kNone},
    {'w', "weight", Argument::kRequired},
    {'x', "u-threshold", Argument::kRequired},
    {'y', "l-threshold", Argument::kRequired},
    {'n', "numeric", Argument::kNone},
    {'c', "connection", Argument::kNone},
    {0, "timeout", Argument::kNone},
    {0, "stats", Argument::kNone},
    {0, "rate", Argument::kNone},
    {0, "thresholds", Argument::kNone},
    {0, "persistent-conn", Argument::kNone},
    {0, "tun-info", Argument::kNone},
    {0, "tun-type", Argument::kRequired},
    {0, "tun-port", Argument::kRequired},
    {0, "tun-nocsum", Argument::kNone},
    {0, "tun-csum", Argument::kNone},
    {0, "tun-remcsum", Argument::kNone},
    {0, "daemon", Argument::kNone},
    {0, "exact", Argument::kNone},
    {0, "sort", Argument::kNone},
    {0, "nosort", Argument::kNone},
    // Not ipvsadm's.
    {0, "server", Argument::kRequired},
    {0, "timeout-tcp", Argument::kRequired},
    {0, "timeout-tcpfin", Argument::kRequired},
    {0, "timeout-udp", Argument::kRequired},
    {0, "drain", Argument::kRequired},
    {0, "strict-persistence", Argument::kNone},
    {0, "no-destination", Argument::kRequired},
    {0, "allow", Argument::kRequired},
    {0, "deny", Argument::kRequired},
    {0, "set-sysctl", Argument::kRequired},
    {0, "add-fwmark-rule", Argument::kRequired},
    {0, "delete-fwmark-rule", Argument::kRequired},
    {0, "fullnat", Argument::kNone},
    {0, "laddr", Argument::kRequired},
    {0, "add-laddr", Argument::kRequired},
    {0, "delete-laddr", Argument::kRequired},
    {0, "laddrs", Argument::kNone},
    {0, "json", Argument::kNone},
    {0, "complete", Argument::kNone},
    {0, "partial", Argument::kNone},
    {0, "force", Argument::kNone},
    {0, "sysctl", Argument::kNone},
    {0, "fwmark-rules", Argument::kNone},
};

const std::set<std::string> kListOptions = {"numeric", "connection",   "timeout",         "stats",  "rate",
                                            "exact",   "thresholds",   "persistent-conn", "sort",   "nosort",
                                            "sysctl",  "fwmark-rules", "tun-info",        "laddrs", "syncid",
                                            "daemon",  "json"};
const std::set<std::string> kServiceOptions = {
    "scheduler",   "persistent",     "netmask",     "pe",    "sched-flags",        "ops",
    "timeout-tcp", "timeout-tcpfin", "timeout-udp", "drain", "strict-persistence", "no-destination",
    "allow",       "deny",           "laddr"};
const std::set<std::string> kServerOptions = {"real-server", "forwarding-method", "weight",   "u-threshold",
                                              "l-threshold", "tun-type",          "tun-port", "tun-nocsum",
                                              "tun-csum",    "tun-remcsum"};

}  // namespace

const std::map<std::string, Verb> kVerbs = {
    {"add-service", Verb::kAddService},
    {"edit-service", Verb::kEditService},
    {"delete-service", Verb::kDeleteService},
    {"clear", Verb::kClear},
    {"add-server", Verb::kAddServer},
    {"edit-server", Verb::kEditServer},
    {"delete-server", Verb::kDeleteServer},
    {"set", Verb::kSetTimeouts},
    {"set-sysctl", Verb::kSetSysctl},
    {"add-fwmark-rule", Verb::kAddFwmarkRule},
    {"delete-fwmark-rule", Verb::kDeleteFwmarkRule},
    {"add-laddr", Verb::kAddLocalAddress},
    {"delete-laddr", Verb::kDeleteLocalAddress},
    {"list", Verb::kList},
    {"save", Verb::kSave},
    {"restore", Verb::kRestore},
    {"zero", Verb::kZero},
    {"start-daemon", Verb::kStartDaemon},
    {"stop-daemon", Verb::kStopDaemon},
    {"help", Verb::kHelp},
};

const std::map<Verb, Rule> kRules = {
    {Verb::kAddService, {"add-service", kServiceOptions, true, false}},
    {Verb::kEditService, {"edit-service", kServiceOptions, true, false}},
    {Verb::kDeleteService, {"delete-service", {}, true, false}},
    {Verb::kClear, {"flush", {"force"}, false, false}},
    {Verb::kAddServer, {"add-server", kServerOptions, true, true}},
    {Verb::kEditServer, {"edit-server", kServerOptions, true, true}},
    {Verb::kDeleteServer, {"delete-server", {"real-server"}, true, true}},
    {Verb::kList, {"list", kListOptions, false, false}},
    {Verb::kSave, {"save", {"numeric", "complete"}, false, false}},
    {Verb::kRestore, {"restore", {"partial", "force"}, false, false}},
    {Verb::kZero, {"zero", {}, false, false}},
    {Verb::kStartDaemon,
     {"start-daemon",
      {"syncid", "sync-maxlen", "mcast-interface", "mcast-group", "mcast-port", "mcast-ttl"},
      false,
      false}},
    {Verb::kStopDaemon, {"stop-daemon", {"syncid"}, false, false}},
    {Verb::kSetTimeouts, {"set", {}, false, false}},
    {Verb::kSetSysctl, {"set-sysctl", {}, false, false}},
    {Verb::kAddFwmarkRule, {"add-fwmark-rule", {}, false, false}},
    {Verb::kDeleteFwmarkRule, {"delete-fwmark-rule", {}, false, false}},
    {Verb::kAddLocalAddress, {"add-laddr", {}, false, false}},
    {Verb::kDeleteLocalAddress, {"delete-laddr", {}, false, false}},
};

const Option* FindOption(char letter) {
  for (const Option& option : kOptions) {
    if (option.letter == letter) return &option;
  }
  return nullptr;
}

const Option* FindOption(absl::string_view name) {
  for (const Option& option : kOptions) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

}  // namespace sluice
