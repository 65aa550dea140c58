// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/annotations.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/printable.h"

namespace sluice::kubernetes {
namespace {

constexpr std::array kSchedulers = {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh",
                                    "sh", "sed", "nq", "mh",  "fo",   "ovf",   "twos"};

// Annotations may be 256 KB long and have any characters; what is quoted goes to logs.
constexpr size_t kLongestName = 63;
constexpr size_t kLongestValue = 100;

// An annotation's rule; false: the value is against it.
using Setter = std::function<bool(const std::string& value, Wishes& wishes)>;
struct Rule {
  const char* text;
  Setter set;
};

bool SetSeconds(const std::string& value, uint32_t most, uint32_t& seconds) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number == 0 || number > most) return false;
  seconds = number;
  return true;
}

bool SetFlags(const std::string& value, Wishes& wishes) {
  static const std::map<std::string, v1::SchedulerFlag> flags = {{"sh-fallback", v1::FLAG_1},
                                                                 {"mh-fallback", v1::FLAG_1},
                                                                 {"sh-port", v1::FLAG_2},
                                                                 {"mh-port", v1::FLAG_2}};
  std::vector<v1::SchedulerFlag> wanted;
  for (const std::string& each : std::vector<std::string>(absl::StrSplit(value, ',', absl::SkipEmpty()))) {
    const auto found = flags.find(each);
    if (found == flags.end()) return false;
    wanted.push_back(found->second);
  }
  wishes.scheduler_flags = std::move(wanted);
  return true;
}

bool SetForwarding(const std::string& value, Wishes& wishes) {
  static const std::map<std::string, v1::ForwardingMethod> methods = {
      {"nat", v1::NAT}, {"fullnat", v1::FULLNAT}, {"dr", v1::DR}, {"ipip", v1::TUN}, {"gre", v1::TUN}};
  const auto found = methods.find(value);
  if (found == methods.end()) return false;
  wishes.method = found->second;
  wishes.tunnel.set_type(value == "gre" ? v1::GRE : v1::IPIP);
  return true;
}

bool SetNoEndpoints(const std::string& value, Wishes& wishes) {
  static const std::map<std::string, v1::NoDestinationPolicy> policies = {
      {"reject", v1::ICMP_UNREACHABLE}, {"reset", v1::TCP_RESET}, {"drop", v1::SILENCE}};
  const auto found = policies.find(value);
  if (found == policies.end()) return false;
  wishes.no_destination = found->second;
  return true;
}

Rule Timeout(void (v1::Timeouts::*set)(uint32_t)) {
  return {"must be 1..2678400 (seconds)", [set](const std::string& value, Wishes& wishes) {
            uint32_t seconds = 0;
            if (!SetSeconds(value, 2678400, seconds)) return false;
            (wishes.timeouts.*set)(seconds);
            return true;
          }};
}

const std::map<std::string, Rule>& Rules() {
  static const std::map<std::string, Rule> rules = {
      {"scheduler",
       {"must be rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, ovf or twos",
        [](const std::string& value, Wishes& wishes) {
          if (IsScheduler(value)) wishes.scheduler = value;
          return IsScheduler(value);
        }}},
      {"scheduler-flags",
       {"must be of sh-fallback, sh-port, mh-fallback, mh-port, with commas between", SetFlags}},
      {"forwarding", {"must be nat, fullnat, dr, ipip or gre", SetForwarding}},
      {"one-packet",
       {"must be true or false",
        [](const std::string& value, Wishes& wishes) {
          wishes.one_packet = value == "true";
          return value == "true" || value == "false";
        }}},
      {"timeout-tcp", Timeout(&v1::Timeouts::set_tcp_seconds)},
      {"timeout-tcp-fin", Timeout(&v1::Timeouts::set_tcp_fin_seconds)},
      {"timeout-udp", Timeout(&v1::Timeouts::set_udp_seconds)},
      {"drain",
       {"must be 1..2678400 (seconds)",
        [](const std::string& value, Wishes& wishes) {
          return SetSeconds(value, 2678400, wishes.drain_seconds);
        }}},
      {"no-endpoints", {"must be reject, reset or drop", SetNoEndpoints}},
  };
  return rules;
}

}  // namespace

Wishes ReadAnnotations(const ServiceObject& service) {
  Wishes wishes;
  for (const auto& [name, value] : service.annotations) {
    const auto rule = Rules().find(name);
    if (rule == Rules().end()) {
      wishes.complaints.push_back(
          absl::StrCat(absl::string_view(kAnnotationPrefix.data(), kAnnotationPrefix.size()),
                       Printable(name, kLongestName), ": is not known, and ignored"));
    } else if (!rule->second.set(value, wishes)) {
      wishes.complaints.push_back(
          absl::StrCat(absl::string_view(kAnnotationPrefix.data(), kAnnotationPrefix.size()), name, ": ",
                       Printable(value, kLongestValue), ": ", rule->second.text, "; it is ignored"));
    }
  }
  return wishes;
}

std::vector<v1::SchedulerFlag> DefaultFlags(const std::string& scheduler) {
  if (scheduler == "mh") return {v1::FLAG_2};
  return {};
}

bool IsScheduler(const std::string& name) {
  return std::find(kSchedulers.begin(), kSchedulers.end(), name) != kSchedulers.end();
}

}  // namespace sluice::kubernetes
