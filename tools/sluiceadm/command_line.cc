// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/command_line.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <cstring>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace sluice {
namespace {

// What an option takes.
enum class Argument { kNone, kRequired, kOptional };

struct Option {
  char letter;  // 0: it has a long name only
  const char* name;
  Argument argument;
};

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
    {0, "daemon", Argument::kNone},
    {0, "exact", Argument::kNone},
    {0, "sort", Argument::kNone},
    {0, "nosort", Argument::kNone},
    {0, "server", Argument::kRequired},
};

const std::map<std::string, Verb> kVerbs = {
    {"add-service", Verb::kAddService},
    {"edit-service", Verb::kEditService},
    {"delete-service", Verb::kDeleteService},
    {"clear", Verb::kClear},
    {"add-server", Verb::kAddServer},
    {"edit-server", Verb::kEditServer},
    {"delete-server", Verb::kDeleteServer},
    {"set", Verb::kSetTimeouts},
    {"list", Verb::kList},
    {"help", Verb::kHelp},
};

// ipvsadm has them; sluiceadm not yet.
const std::set<std::string> kNotYet = {"restore",     "save", "zero",     "start-daemon",
                                       "stop-daemon", "rate", "tun-info", "daemon"};

const std::set<std::string> kListOptions = {"numeric",    "connection",      "timeout", "stats", "exact",
                                            "thresholds", "persistent-conn", "sort",    "nosort"};
const std::set<std::string> kServiceOptions = {"scheduler", "persistent",  "netmask",
                                               "pe",        "sched-flags", "ops"};
const std::set<std::string> kServerOptions = {"real-server", "packet-forwarding", "weight", "u-threshold",
                                              "l-threshold"};

// Which options go with a command, besides the service address; and which it cannot do without.
struct Rule {
  const char* name;
  std::set<std::string> allowed;
  bool needs_service;
  bool needs_server;
};
const std::map<Verb, Rule> kRules = {
    {Verb::kAddService, {"add-service", kServiceOptions, true, false}},
    {Verb::kEditService, {"edit-service", kServiceOptions, true, false}},
    {Verb::kDeleteService, {"delete-service", {}, true, false}},
    {Verb::kClear, {"clear", {}, false, false}},
    {Verb::kAddServer, {"add-server", kServerOptions, true, true}},
    {Verb::kEditServer, {"edit-server", kServerOptions, true, true}},
    {Verb::kDeleteServer, {"delete-server", {"real-server"}, true, true}},
    {Verb::kList, {"list", kListOptions, false, false}},
    {Verb::kSetTimeouts, {"set", {}, false, false}},
};

constexpr uint32_t kDefaultPersistenceSeconds = 360;
constexpr uint32_t kMaxPersistenceSeconds = 31 * 86400;

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

template <class T>
bool ParseNumber(absl::string_view text, uint64_t most, T& number) {
  uint64_t value;
  if (text.empty() || text[0] < '0' || text[0] > '9' || !absl::SimpleAtoi(text, &value) || value > most)
    return false;
  number = static_cast<T>(value);
  return true;
}

struct Address {
  std::string address;
  bool is_v6 = false;
  std::optional<uint32_t> port;
};

bool ParseHost(const std::string& host, Address& result) {
  in6_addr binary;
  if (inet_pton(AF_INET, host.c_str(), &binary) == 1) {
    result.address = host;
    return true;
  }
  if (inet_pton(AF_INET6, host.c_str(), &binary) == 1) {
    result.address = host;
    result.is_v6 = true;
    return true;
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  char text[INET_ADDRSTRLEN];
  const auto* address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
  result.address = inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
  freeaddrinfo(found);
  return true;
}

bool ParsePort(const std::string& text, const char* protocol, Address& result) {
  uint32_t number;
  if (ParseNumber(text, 65535, number)) {
    result.port = number;
    return true;
  }
  const servent* known = getservbyname(text.c_str(), protocol);
  if (known == nullptr) return false;
  result.port = ntohs(static_cast<uint16_t>(known->s_port));
  return true;
}

// "10.0.0.1:80", "10.0.0.1", "[2001:db8::1]:80", "www.example.org:http".
std::optional<Address> ParseAddress(const std::string& text, const char* protocol) {
  Address result;
  std::string host = text;
  std::string port;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    if (close + 1 < text.size()) {
      if (text[close + 1] != ':') return std::nullopt;
      port = text.substr(close + 2);
      if (port.empty()) return std::nullopt;
    }
  } else if (const size_t colon = text.rfind(':'); colon != std::string::npos && text.find(':') == colon) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return std::nullopt;
  }
  if (!ParseHost(host, result)) return std::nullopt;
  if (!port.empty() && !ParsePort(port, protocol, result)) return std::nullopt;
  return result;
}

class Parser {
 public:
  Parser(const std::string& program, const std::vector<std::string>& arguments)
      : program_(program), arguments_(arguments) {}

  std::variant<Command, UsageError> Parse() {
    if (arguments_.empty()) return Command();
    if (!Split() || !Check() || !Finish()) return error_;
    return command_;
  }

 private:
  bool Fail(const std::string& message, int status = 2) {
    error_ = {message, status};
    return false;
  }
  bool TryHelp() {
    return Fail(absl::StrCat("Try `", program_, " -h' or '", program_, " --help' for more information."),
                255);
  }

  // Options may stand together (-Ln) and have their values attached (-w5, --weight=5).
  bool Split() {
    for (size_t i = 0; i < arguments_.size(); ++i) {
      const std::string& argument = arguments_[i];
      if (argument.size() < 2 || argument[0] != '-') {
        rest_.push_back(argument);
        continue;
      }
      if (argument[1] == '-') {
        const size_t equals = argument.find('=');
        const Option* option = FindOption(
            absl::string_view(argument).substr(2, equals == std::string::npos ? equals : equals - 2));
        if (option == nullptr) return TryHelp();
        std::optional<std::string> attached;
        if (equals != std::string::npos) attached = argument.substr(equals + 1);
        if (!Take(*option, attached, i)) return false;
        continue;
      }
      for (size_t at = 1; at < argument.size(); ++at) {
        const Option* option = FindOption(argument[at]);
        if (option == nullptr) return TryHelp();
        std::optional<std::string> attached;
        if (option->argument != Argument::kNone && at + 1 < argument.size())
          attached = argument.substr(at + 1);
        if (!Take(*option, attached, i)) return false;
        if (option->argument != Argument::kNone) break;
      }
    }
    return true;
  }

  bool Take(const Option& option, std::optional<std::string> value, size_t& i) {
    if (option.argument == Argument::kNone && value) return TryHelp();
    if (option.argument == Argument::kRequired && !value) {
      if (i + 1 >= arguments_.size()) return TryHelp();
      value = arguments_[++i];
    }
    if (option.argument == Argument::kOptional && !value && i + 1 < arguments_.size() &&
        arguments_[i + 1][0] != '-')
      value = arguments_[++i];
    const std::string name = option.name;
    if (kNotYet.contains(name)) return Fail(absl::StrCat("'", name, "' is not supported yet by sluiceadm"));
    if (const auto verb = kVerbs.find(name); verb != kVerbs.end()) {
      if (has_verb_) return Fail("multiple commands specified");
      has_verb_ = true;
      command_.verb = verb->second;
      return true;
    }
    return Apply(name, value.value_or(""));
  }

  bool Apply(const std::string& name, const std::string& value) {
    if (name == "server") return command_.server = value, true;
    if (name == "tcp-service") return SetService(v1::TCP, "tcp", value);
    if (name == "udp-service") return SetService(v1::UDP, "udp", value);
    if (name == "sctp-service") return SetService(v1::SCTP, "sctp", value);
    if (name == "fwmark-service") return SetFwmark(value);
    if (name == "ipv6") return is_v6_ = true;
    if (name == "gatewaying") return SetMethod(v1::DR);
    if (name == "ipip") return SetMethod(v1::TUN);
    if (name == "masquerading") return SetMethod(v1::NAT);
    if (!given_.insert(name).second && name != "numeric")
      return Fail(absl::StrCat("multiple '", name, "' options specified"));
    v1::Service& service = command_.service;
    v1::Destination& destination = command_.destination;
    if (name == "scheduler") return service.set_scheduler(value), true;
    if (name == "persistent") return SetPersistence(value);
    if (name == "netmask") return service.mutable_persistence()->set_netmask(value), true;
    if (name == "pe") return service.mutable_persistence()->set_engine(value), true;
    if (name == "sched-flags") return SetFlags(value);
    if (name == "ops") return service.set_one_packet(true), true;
    if (name == "real-server") return real_server_ = value, true;
    uint32_t number = 0;
    if (name == "weight")
      return ParseNumber(value, INT32_MAX, number) ? (destination.set_weight(number), true)
                                                   : Fail("illegal weight specified");
    if (name == "u-threshold") {
      return ParseNumber(value, INT32_MAX, number) ? (destination.set_upper_threshold(number), true)
                                                   : Fail("illegal u_threshold specified");
    }
    if (name == "l-threshold") {
      return ParseNumber(value, INT32_MAX, number) ? (destination.set_lower_threshold(number), true)
                                                   : Fail("illegal l_threshold specified");
    }
    if (name == "numeric") return command_.numeric = true;
    if (name == "connection") return command_.connections = true;
    if (name == "timeout") return command_.show_timeouts = true;
    if (name == "stats") return command_.statistics = true;
    if (name == "exact") return command_.exact = true;
    if (name == "thresholds") return command_.thresholds = true;
    if (name == "persistent-conn") return command_.persistent_connections = true;
    if (name == "nosort") return command_.unsorted = true;
    return true;  // --sort is how it is
  }

  bool SetService(v1::Protocol protocol, const char* protocol_name, const std::string& value) {
    if (command_.key) return Fail("multiple 'service-address' options specified");
    const std::optional<Address> address = ParseAddress(value, protocol_name);
    if (!address) return Fail("illegal virtual server address[:port] specified");
    command_.key.emplace();
    command_.key->set_protocol(protocol);
    command_.key->set_address(address->address);
    command_.key->set_port(address->port.value_or(0));
    service_is_v6_ = address->is_v6;
    protocol_name_ = protocol_name;
    return true;
  }

  bool SetFwmark(const std::string& value) {
    if (command_.key) return Fail("multiple 'service-address' options specified");
    uint32_t mark = 0;
    if (!ParseNumber(value, UINT32_MAX, mark) || mark == 0)
      return Fail(absl::StrCat("invalid fwmark value `", value, "' specified"));
    command_.key.emplace();
    command_.key->set_fwmark(mark);
    return true;
  }

  bool SetMethod(v1::ForwardingMethod method) {
    if (!given_.insert("packet-forwarding").second)
      return Fail("multiple 'packet-forwarding' options specified");
    command_.destination.set_method(method);
    return true;
  }

  bool SetPersistence(const std::string& value) {
    uint32_t seconds = kDefaultPersistenceSeconds;
    if (!value.empty() && (!ParseNumber(value, kMaxPersistenceSeconds, seconds) || seconds == 0)) {
      return Fail(absl::StrCat("invalid timeout value `", value, "' specified"));
    }
    command_.service.mutable_persistence()->set_timeout_seconds(seconds);
    return true;
  }

  bool SetFlags(const std::string& value) {
    static const std::map<std::string, v1::SchedulerFlag> kFlags = {
        {"sh-fallback", v1::FLAG_1}, {"sh-port", v1::FLAG_2}, {"mh-fallback", v1::FLAG_1},
        {"mh-port", v1::FLAG_2},     {"flag-1", v1::FLAG_1},  {"flag-2", v1::FLAG_2},
        {"flag-3", v1::FLAG_3}};
    for (const absl::string_view name : absl::StrSplit(value, ',')) {
      const auto flag = kFlags.find(std::string(name));
      if (flag == kFlags.end()) return Fail(absl::StrCat("invalid scheduler flag `", name, "'"));
      command_.service.add_scheduler_flags(flag->second);
    }
    return true;
  }

  bool Check() {
    if (!has_verb_) return TryHelp();
    if (command_.verb == Verb::kHelp) return true;
    const Rule& rule = kRules.at(command_.verb);
    if (rule.needs_service && !command_.key) {
      return Fail(
          absl::StrCat("You need to supply the 'service-address' option for the '", rule.name, "' command"));
    }
    if (rule.needs_server && !given_.contains("real-server")) {
      return Fail(
          absl::StrCat("You need to supply the 'real-server' option for the '", rule.name, "' command"));
    }
    if (command_.key && !rule.needs_service && command_.verb != Verb::kList) {
      return Fail(absl::StrCat("Illegal 'service-address' option with the '", rule.name, "' command"));
    }
    for (const std::string& option : given_) {
      if (!rule.allowed.contains(option))
        return Fail(absl::StrCat("Illegal '", option, "' option with the '", rule.name, "' command"));
    }
    if (command_.verb == Verb::kSetTimeouts) return SetTimeouts();
    if (!rest_.empty()) return Fail(absl::StrCat("unexpected argument ", rest_.front()), 255);
    return true;
  }

  bool SetTimeouts() {
    if (rest_.size() != 3) return Fail("--set option requires 3 timeout values");
    uint32_t seconds[3];
    for (int i = 0; i < 3; ++i) {
      if (!ParseNumber(rest_[i], kMaxPersistenceSeconds, seconds[i]))
        return Fail(absl::StrCat("invalid timeout value `", rest_[i], "' specified"));
    }
    command_.timeouts.set_tcp_seconds(seconds[0]);
    command_.timeouts.set_tcp_fin_seconds(seconds[1]);
    command_.timeouts.set_udp_seconds(seconds[2]);
    return true;
  }

  // What depends on several options.
  bool Finish() {
    if (command_.key && command_.key->fwmark() != 0) command_.key->set_family(is_v6_ ? v1::IPV6 : v1::IPV4);
    if (command_.verb == Verb::kAddService || command_.verb == Verb::kEditService) {
      if (command_.service.one_packet() && command_.key->fwmark() == 0 &&
          command_.key->protocol() != v1::UDP) {
        return Fail("One-Packet Scheduling is only for UDP virtual services");
      }
      if (command_.key->fwmark() == 0 && command_.key->port() == 0 && !command_.service.has_persistence()) {
        return Fail("Zero port specified for non-persistent service");
      }
    }
    if (!given_.contains("real-server")) return true;
    const std::optional<Address> address = ParseAddress(real_server_, protocol_name_);
    if (!address) return Fail("illegal real server address[:port] specified");
    v1::Destination& destination = command_.destination;
    destination.set_address(address->address);
    if (destination.method() == v1::FORWARDING_METHOD_UNSPECIFIED) destination.set_method(v1::DR);
    if (!destination.has_weight()) destination.set_weight(1);
    if (address->is_v6 != service_is_v6_ && command_.key->fwmark() == 0 && destination.method() != v1::TUN &&
        command_.verb != Verb::kDeleteServer) {
      return Fail("Different address family is allowed only for tunneling servers");
    }
    // Only NAT can change the port.
    const bool keeps_port = destination.method() == v1::NAT || command_.verb == Verb::kDeleteServer;
    destination.set_port(keeps_port && address->port ? *address->port : command_.key->port());
    return true;
  }

  const std::string program_;
  const std::vector<std::string>& arguments_;
  Command command_;
  UsageError error_;
  bool has_verb_ = false;
  bool is_v6_ = false;
  bool service_is_v6_ = false;
  const char* protocol_name_ = "tcp";
  std::string real_server_;
  std::set<std::string> given_;
  std::vector<std::string> rest_;
};

}  // namespace

std::variant<Command, UsageError> ParseCommandLine(const std::string& program,
                                                   const std::vector<std::string>& arguments) {
  return Parser(program, arguments).Parse();
}

std::string HelpText(const std::string& program) {
  return absl::StrCat(
      "sluiceadm: ipvsadm's commands for Sluice\n\n",                                                   //
      "  ", program, " -A|E -t|u service-address [-s scheduler] [-b sched-flags]\n",                    //
      "  ", program, " -D -t|u service-address\n",                                                      //
      "  ", program, " -C\n",                                                                           //
      "  ", program, " -a|e -t|u service-address -r server-address -m [-w weight]\n",                   //
      "  ", program, " -d -t|u service-address -r server-address\n",                                    //
      "  ", program, " -L|l [-t|u service-address] [-n] [--stats [--exact]] [--sort|--nosort]\n",       //
      "  ", program, " -L -c [-n]\n",                                                                   //
      "  ", program, " -L --timeout\n",                                                                 //
      "  ", program, " --set tcp tcpfin udp\n",                                                         //
      "  ", program, " -h\n\n",                                                                         //
      "Commands:\n",                                                                                    //
      "  --add-service     -A        add virtual service with options\n",                               //
      "  --edit-service    -E        edit virtual service with options\n",                              //
      "  --delete-service  -D        delete virtual service\n",                                         //
      "  --clear           -C        clear the whole table\n",                                          //
      "  --add-server      -a        add real server with options\n",                                   //
      "  --edit-server     -e        edit real server with options\n",                                  //
      "  --delete-server   -d        delete real server\n",                                             //
      "  --list            -L|-l     list the table\n",                                                 //
      "  --set tcp tcpfin udp        set connection timeout values, 0 keeps one\n",                     //
      "  --help            -h        this text\n\n",                                                    //
      "Options:\n",                                                                                     //
      "  --tcp-service  -t service-address   service-address is host[:port]\n",                         //
      "  --udp-service  -u service-address   service-address is host[:port]\n",                         //
      "  --scheduler    -s scheduler         rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh|twos;\n",  //
      "                                      the default is wlc\n",                                     //
      "  --real-server  -r server-address    server-address is host (and port)\n",                      //
      "  --masquerading -m                   masquerading (NAT)\n",                                     //
      "  --u-threshold  -x uthreshold        upper threshold of connections\n",
      "  --l-threshold  -y lthreshold        lower threshold of connections\n",
      "  --weight       -w weight            capacity of real server\n",           //
      "  --connection   -c                   output of current connections\n",     //
      "  --stats                             output of statistics information\n",  //
      "  --thresholds                        output of thresholds information\n",
      "  --persistent-conn                   output of persistent connection info\n",
      "  --exact                             expand numbers (display exact values)\n",               //
      "  --nosort                            newest first, as the scheduler sees them\n",            //
      "  --numeric      -n                   numeric output of addresses and ports\n",               //
      "  --server       unix:PATH            where sluiced listens; otherwise $SLUICE_SERVER or\n",  //
      "                                      unix:/run/sluice/sluiced.sock\n");
}

}  // namespace sluice
