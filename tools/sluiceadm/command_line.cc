// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/command_line.h"

#include <arpa/inet.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tools/sluiceadm/address.h"
#include "tools/sluiceadm/options.h"

namespace sluice {
namespace {

constexpr uint32_t kDefaultPersistenceSeconds = 360;
constexpr uint32_t kMaxPersistenceSeconds = 31 * 86400;

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
  // What is wrong with the first option ipvsadm does not say.
  bool BadOption(const std::string& given, const char* what) {
    return taken_ == 0 ? TryHelp() : Fail(absl::StrCat(given, ": ", what), 255);
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
        if (option == nullptr) return BadOption(argument, "unknown option");
        std::optional<std::string> attached;
        if (equals != std::string::npos) attached = argument.substr(equals + 1);
        if (!Take(*option, argument.substr(0, equals), attached, i)) return false;
        continue;
      }
      for (size_t at = 1; at < argument.size(); ++at) {
        const Option* option = FindOption(argument[at]);
        if (option == nullptr) return BadOption(absl::StrCat("-", argument.substr(at, 1)), "unknown option");
        std::optional<std::string> attached;
        if (option->argument != Argument::kNone && at + 1 < argument.size())
          attached = argument.substr(at + 1);
        if (!Take(*option, absl::StrCat("-", argument.substr(at, 1)), attached, i)) return false;
        if (option->argument != Argument::kNone) break;
      }
    }
    return true;
  }

  // `given`: the option as it stands there.
  bool Take(const Option& option, const std::string& given, std::optional<std::string> value, size_t& i) {
    if (option.argument == Argument::kNone && value) return TryHelp();
    if (option.argument == Argument::kRequired && !value) {
      if (i + 1 >= arguments_.size()) return BadOption(given, "missing argument");
      value = arguments_[++i];
    }
    if (option.argument == Argument::kOptional && !value && i + 1 < arguments_.size() &&
        arguments_[i + 1][0] != '-')
      value = arguments_[++i];
    ++taken_;
    const std::string name = option.name;
    if (const auto verb = kVerbs.find(name); verb != kVerbs.end()) {
      if (has_verb_) return Fail(absl::StrCat("invalid option `", given, "'"));
      has_verb_ = true;
      command_.verb = verb->second;
      if (name == "start-daemon" || name == "stop-daemon") {
        if (*value != "master" && *value != "backup")
          return Fail(name == "start-daemon" ? "illegal start-daemon parameter specified"
                                             : "illegal start_daemon specified");
        command_.is_master = *value == "master";
      }
      if (name == "set-sysctl") return SetSysctl(*value);
      if (name == "add-laddr" || name == "delete-laddr")
        return SetLocalAddress(*value, command_.local_address);
      if (name == "add-fwmark-rule" || name == "delete-fwmark-rule") return SetFwmarkRule(*value);
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
    if (name == "fullnat") return SetMethod(v1::FULLNAT);
    if (!given_.insert(name).second && name != "numeric")
      return Fail(absl::StrCat("multiple '", name, "' options specified"));
    v1::Service& service = command_.service;
    v1::Destination& destination = command_.destination;
    if (name == "mcast-interface") return command_.daemon.set_interface(value), true;
    if (name == "mcast-group") return SetGroup(value);
    if (name == "syncid") return SetDaemonNumber(name, value, 0, 255, &v1::SyncDaemon::set_sync_id);
    if (name == "sync-maxlen") return SetDaemonNumber(name, value, 1, 65507, &v1::SyncDaemon::set_max_length);
    if (name == "mcast-port") return SetDaemonNumber(name, value, 1, 65535, &v1::SyncDaemon::set_port);
    if (name == "mcast-ttl") return SetDaemonNumber(name, value, 1, 255, &v1::SyncDaemon::set_ttl);
    if (name == "scheduler") return service.set_scheduler(value), true;
    if (name == "persistent") return SetPersistence(value);
    if (name == "netmask") return service.mutable_persistence()->set_netmask(value), true;
    if (name == "pe") return service.mutable_persistence()->set_engine(value), true;
    if (name == "sched-flags") return SetFlags(value);
    if (name == "ops") return service.set_one_packet(true), true;
    if (name == "strict-persistence") return service.mutable_persistence()->set_strict(true), true;
    if (name == "drain" || name.starts_with("timeout-")) return SetServiceTime(name, value);
    if (name == "real-server") return real_server_ = value, true;
    if (name == "no-destination") return SetNoDestination(value);
    if (name == "allow" || name == "deny") {
      for (const absl::string_view prefix : absl::StrSplit(value, ','))
        *(name == "allow" ? service.add_allow_sources() : service.add_deny_sources()) = std::string(prefix);
      return true;
    }
    if (name == "laddr") {
      for (const absl::string_view each : absl::StrSplit(value, ','))
        SetLocalAddress(std::string(each), *service.add_local_addresses());
      return true;
    }
    if (name == "tun-type") return SetTunnelType(value);
    v1::Tunnel& tunnel = *tunnel_.mutable_tunnel();
    if (name == "tun-nocsum") return tunnel.set_checksum(v1::TUNNEL_NOCSUM), true;
    if (name == "tun-csum") return tunnel.set_checksum(v1::TUNNEL_CSUM), true;
    if (name == "tun-remcsum") return tunnel.set_checksum(v1::TUNNEL_REMCSUM), true;
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
    if (name == "tun-port") {
      if (!ParseNumber(value, 65535, number) || number == 0) return Fail("illegal tunnel port specified");
      return tunnel.set_port(number), true;
    }
    if (name == "numeric") return command_.numeric = true;
    if (name == "tun-info") return command_.tunnels = true;
    if (name == "connection") return command_.connections = true;
    if (name == "timeout") return command_.show_timeouts = true;
    if (name == "stats") return command_.statistics = true;
    if (name == "rate") return command_.rates = true;
    if (name == "sysctl") return command_.show_settings = true;
    if (name == "fwmark-rules") return command_.show_fwmark_rules = true;
    if (name == "json") return command_.json = true;
    if (name == "laddrs") return command_.show_local_addresses = true;
    if (name == "exact") return command_.exact = true;
    if (name == "thresholds") return command_.thresholds = true;
    if (name == "persistent-conn") return command_.persistent_connections = true;
    if (name == "nosort") return command_.unsorted = true;
    if (name == "daemon") return command_.show_daemons = true;
    if (name == "complete") return command_.complete = true;
    if (name == "partial") return command_.partial = true;
    if (name == "force") return command_.force = true;
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
    if (!given_.insert("forwarding-method").second)
      return Fail("multiple 'forwarding-method' options specified");
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

  bool SetServiceTime(const std::string& name, const std::string& value) {
    uint32_t seconds = 0;
    if (!ParseNumber(value, kMaxPersistenceSeconds, seconds))
      return Fail(absl::StrCat("invalid timeout value `", value, "' specified"));
    v1::Service& service = command_.service;
    if (name == "drain") service.set_drain_seconds(seconds);
    if (name == "timeout-tcp") service.mutable_timeouts()->set_tcp_seconds(seconds);
    if (name == "timeout-tcpfin") service.mutable_timeouts()->set_tcp_fin_seconds(seconds);
    if (name == "timeout-udp") service.mutable_timeouts()->set_udp_seconds(seconds);
    return true;
  }

  // NAME=VALUE, as sysctl -w has it, without the path. What may be set is what the message has.
  bool SetSysctl(const std::string& text) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    const google::protobuf::Descriptor* known = v1::Settings::descriptor();
    const google::protobuf::FieldDescriptor* field = known->FindFieldByName(parts.first);
    if (field == nullptr) {
      std::vector<std::string> names;
      for (int i = 0; i < known->field_count(); ++i) names.push_back(known->field(i)->name());
      return Fail(
          absl::StrCat("unknown sysctl `", parts.first, "': must be one of ", absl::StrJoin(names, ", ")));
    }
    uint32_t number = 0;
    const bool is_switch = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL;
    if (!ParseNumber(parts.second, is_switch ? 1 : UINT32_MAX, number))
      return Fail(absl::StrCat("invalid value `", parts.second, "' for sysctl `", parts.first, "'"));
    const google::protobuf::Reflection* reflection = command_.settings.GetReflection();
    if (is_switch) {
      reflection->SetBool(&command_.settings, field, number != 0);
    } else {
      reflection->SetUInt32(&command_.settings, field, number);
    }
    return true;
  }

  // MARK,PROTOCOL,PREFIX[,PORT[-PORT]]
  bool SetFwmarkRule(const std::string& text) {
    const std::vector<std::string> parts = absl::StrSplit(text, ',');
    static const std::map<std::string, v1::Protocol> kProtocols = {
        {"tcp", v1::TCP}, {"udp", v1::UDP}, {"sctp", v1::SCTP}, {"any", v1::PROTOCOL_UNSPECIFIED}};
    if (parts.size() < 3 || parts.size() > 4 || !kProtocols.contains(parts[1])) {
      return Fail(absl::StrCat("invalid fwmark rule `", text,
                               "': must be MARK,tcp|udp|sctp|any,PREFIX[,PORT[-PORT]]"));
    }
    uint32_t mark = 0;
    if (!ParseNumber(parts[0], UINT32_MAX, mark) || mark == 0)
      return Fail(absl::StrCat("invalid fwmark value `", parts[0], "' specified"));
    command_.rule.set_fwmark(mark);
    command_.rule.set_protocol(kProtocols.at(parts[1]));
    command_.rule.set_prefix(parts[2]);
    if (parts.size() == 3) return true;
    const std::pair<std::string, std::string> ports = absl::StrSplit(parts[3], absl::MaxSplits('-', 1));
    uint32_t first = 0;
    uint32_t last = 0;
    if (!ParseNumber(ports.first, 65535, first) ||
        !ParseNumber(ports.second.empty() ? ports.first : ports.second, 65535, last)) {
      return Fail(absl::StrCat("invalid ports `", parts[3], "' in fwmark rule"));
    }
    command_.rule.set_first_port(first);
    command_.rule.set_last_port(last);
    return true;
  }

  // ADDRESS[%INTERFACE]
  bool SetLocalAddress(const std::string& text, v1::LocalAddress& local) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('%', 1));
    local.set_address(parts.first);
    local.set_interface(parts.second);
    return true;
  }

  bool SetTunnelType(const std::string& value) {
    static const std::map<std::string, v1::TunnelType> kTypes = {
        {"ipip", v1::IPIP}, {"gue", v1::GUE}, {"gre", v1::GRE}};
    const auto type = kTypes.find(value);
    if (type == kTypes.end()) return Fail("illegal tunnel type specified");
    tunnel_.mutable_tunnel()->set_type(type->second);
    return true;
  }

  bool SetDaemonNumber(const std::string& name, const std::string& value, uint32_t least, uint64_t most,
                       void (v1::SyncDaemon::*set)(uint32_t)) {
    uint32_t number = 0;
    if (!ParseNumber(value, most, number) || number < least)
      return Fail(absl::StrCat("illegal ", name, " specified"));
    (command_.daemon.*set)(number);
    return true;
  }

  bool SetGroup(const std::string& value) {
    in6_addr binary;
    const bool is_v6 = value.find(':') != std::string::npos;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, value.c_str(), &binary) != 1)
      return Fail(absl::StrCat("invalid IPv", is_v6 ? 6 : 4, " mcast-group `", value, "'"));
    command_.daemon.set_group(value);
    return true;
  }

  bool SetNoDestination(const std::string& value) {
    static const std::map<std::string, v1::NoDestinationPolicy> kPolicies = {
        {"icmp", v1::ICMP_UNREACHABLE}, {"reset", v1::TCP_RESET}, {"drop", v1::SILENCE}};
    const auto policy = kPolicies.find(value);
    if (policy == kPolicies.end())
      return Fail(absl::StrCat("invalid policy `", value, "' specified: must be icmp, reset or drop"));
    command_.service.set_no_destination(policy->second);
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
    if (command_.key && !rule.needs_service && command_.verb != Verb::kList && command_.verb != Verb::kZero) {
      return Fail(absl::StrCat("Illegal 'service-address' option with the '", rule.name, "' command"));
    }
    for (const std::string& option : given_) {
      if (!rule.allowed.contains(option))
        return Fail(absl::StrCat("Illegal '", option, "' option with the '", rule.name, "' command"));
    }
    if (command_.verb == Verb::kSetTimeouts) return SetTimeouts();
    if (!rest_.empty()) return Fail(absl::StrCat("unexpected argument ", rest_.front()));
    return true;
  }

  bool SetTimeouts() {
    if (rest_.size() < 3) return Fail("--set option requires 3 timeout values");
    if (rest_.size() > 3) return Fail(absl::StrCat("unexpected argument ", rest_[3]));
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

  bool CheckMask(const std::string& mask) {
    uint32_t length = 0;
    in_addr binary;
    const bool is_v6 = service_is_v6_ || is_v6_;
    if (is_v6 && (!ParseNumber(mask, 128, length) || length == 0))
      return Fail("illegal ipv6 netmask specified");
    return is_v6 || inet_aton(mask.c_str(), &binary) != 0 ||
           Fail("illegal virtual server persistent mask specified");
  }

  // What depends on several options.
  bool Finish() {
    if (command_.key && command_.key->fwmark() != 0) command_.key->set_family(is_v6_ ? v1::IPV6 : v1::IPV4);
    if (command_.verb == Verb::kAddService || command_.verb == Verb::kEditService) {
      if (given_.contains("netmask") && !CheckMask(command_.service.persistence().netmask())) return false;
      // A mask is nothing by itself.
      if (given_.contains("netmask") && !given_.contains("persistent")) command_.service.clear_persistence();
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
    if (tunnel_.tunnel().type() == v1::GUE && tunnel_.tunnel().port() == 0)
      return Fail("You need to supply the 'tun-port' option for the 'gue' tunnel type");
    if (destination.method() == v1::TUN && command_.verb != Verb::kDeleteServer)
      *destination.mutable_tunnel() = tunnel_.tunnel();
    if (address->is_v6 != service_is_v6_ && command_.key->fwmark() == 0 && destination.method() != v1::TUN &&
        command_.verb != Verb::kDeleteServer) {
      return Fail("Different address family is allowed only for tunneling servers");
    }
    // Only NAT can change the port.
    const bool is_nat = destination.method() == v1::NAT || destination.method() == v1::FULLNAT;
    const bool keeps_port = is_nat || command_.verb == Verb::kDeleteServer;
    destination.set_port(keeps_port && address->port ? *address->port : command_.key->port());
    return true;
  }

  const std::string program_;
  const std::vector<std::string>& arguments_;
  Command command_;
  UsageError error_;
  bool has_verb_ = false;
  int taken_ = 0;  // options
  bool is_v6_ = false;
  bool service_is_v6_ = false;
  const char* protocol_name_ = "tcp";
  std::string real_server_;
  v1::Destination tunnel_;  // what the --tun options say
  std::set<std::string> given_;
  std::vector<std::string> rest_;
};

}  // namespace

std::variant<Command, UsageError> ParseCommandLine(const std::string& program,
                                                   const std::vector<std::string>& arguments) {
  return Parser(program, arguments).Parse();
}

}  // namespace sluice
