// SPDX-License-Identifier: Apache-2.0
#include "control/validate.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "schedulers/scheduler.h"

namespace sluice {
namespace {

constexpr uint32_t kMaxPort = 65535;
constexpr uint32_t kMaxWeight = 2147483647;
constexpr uint32_t kMaxThreshold = 2147483647;
// As in the kernel: INT_MAX jiffies, at 250 of them a second.
constexpr uint32_t kMaxTimeoutSeconds = 2147483647 / 250;

// Maglev's table has no more places.
constexpr int kMaxMaglevDestinations = 4093;

std::optional<IpAddress> ValidateAddress(const std::string& text, const std::string& field,
                                         Problems& problems) {
  const std::optional<IpAddress> address = IpAddress::Parse(text);
  if (!address) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat("\"", text, "\": must be an IPv4 address like 10.0.0.1"));
    return std::nullopt;
  }
  if (!address->IsV4()) {
    problems.Add(v1::NOT_SUPPORTED, field, absl::StrCat(text, ": IPv6 is not supported yet"));
    return std::nullopt;
  }
  const uint8_t first = address->bytes[12];
  if (first == 0 || first == 127 || first >= 224) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat(text, ": must be a unicast address, not of 0/8, 127/8, 224/4 or 240/4"));
    return std::nullopt;
  }
  return address;
}

bool ValidatePort(uint32_t port, const std::string& field, Problems& problems) {
  if (port > kMaxPort) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, field, absl::StrCat(port, ": must be 1..", kMaxPort));
  } else if (port == 0) {
    problems.Add(v1::INVALID_VALUE, field,
                 "0: must be 1..65535; every port (0) needs persistence, which is not supported yet");
  }
  return port != 0 && port <= kMaxPort;
}

void ValidateScheduler(const std::string& name, const std::string& field, Problems& problems) {
  if (name.empty() || FindScheduler(name) != nullptr) return;
  const std::string known = absl::StrJoin(SchedulerNames(), ", ",
                                          [](std::string* out, std::string_view each) { out->append(each); });
  problems.Add(v1::SCHEDULER_NOT_FOUND, field,
               absl::StrCat("\"", name, "\" is not a scheduler: must be one of ", known));
}

void ValidateTimeout(uint32_t seconds, const std::string& field, Problems& problems) {
  if (seconds <= kMaxTimeoutSeconds) return;
  problems.Add(v1::OUT_OF_RANGE_VALUE, field,
               absl::StrCat(seconds, ": must be 1..", kMaxTimeoutSeconds, " seconds, or 0 to keep it"));
}

void ValidateMethod(const v1::Destination& destination, const std::string& field, Problems& problems) {
  if (!v1::ForwardingMethod_IsValid(destination.method())) {
    problems.Add(v1::INVALID_VALUE, field,
                 absl::StrCat(static_cast<int>(destination.method()), ": is not a forwarding method"));
  } else if (destination.method() != v1::NAT) {
    const v1::ForwardingMethod method =
        destination.method() == v1::FORWARDING_METHOD_UNSPECIFIED ? v1::DR : destination.method();
    problems.Add(v1::NOT_SUPPORTED, field,
                 absl::StrCat(v1::ForwardingMethod_Name(method),
                              " is not supported yet: must be NAT (sluiceadm: -m)"));
  }
}

}  // namespace

std::optional<ServiceKey> ValidateKey(const v1::ServiceKey& key, const std::string& field,
                                      Problems& problems) {
  const int before = problems.Count();
  if (key.fwmark() != 0) {
    problems.Add(v1::NOT_SUPPORTED, absl::StrCat(field, ".fwmark"),
                 absl::StrCat(key.fwmark(), ": services by firewall mark are not supported yet"));
    return std::nullopt;
  }
  if (key.protocol() == v1::SCTP) {
    problems.Add(v1::NOT_SUPPORTED, absl::StrCat(field, ".protocol"),
                 "SCTP is not supported yet: must be TCP or UDP");
  } else if (key.protocol() != v1::TCP && key.protocol() != v1::UDP) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".protocol"), "must be TCP or UDP");
  }
  const std::optional<IpAddress> address =
      ValidateAddress(key.address(), absl::StrCat(field, ".address"), problems);
  ValidatePort(key.port(), absl::StrCat(field, ".port"), problems);
  if (problems.Count() > before) return std::nullopt;
  return ServiceKey{*address, Be16::FromHost(static_cast<uint16_t>(key.port())),
                    static_cast<Protocol>(key.protocol())};
}

void ValidateService(const v1::Service& service, const std::string& field, Problems& problems) {
  ValidateScheduler(service.scheduler(), absl::StrCat(field, ".scheduler"), problems);
  for (int i = 0; i < service.scheduler_flags_size(); ++i) {
    const v1::SchedulerFlag flag = service.scheduler_flags(i);
    if (flag == v1::SCHEDULER_FLAG_UNSPECIFIED || !v1::SchedulerFlag_IsValid(flag)) {
      problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".scheduler_flags[", i, "]"),
                   "must be FLAG_1, FLAG_2 or FLAG_3");
    }
  }
  if (service.has_persistence()) {
    problems.Add(v1::NOT_SUPPORTED, absl::StrCat(field, ".persistence"),
                 "persistence is not supported yet: leave it out");
  }
  if (service.one_packet() && service.key().protocol() != v1::UDP) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".one_packet"),
                 "true: only UDP services can have it");
  }
  if (service.has_timeouts()) {
    problems.Add(v1::NOT_SUPPORTED, absl::StrCat(field, ".timeouts"),
                 "timeouts of one service are not supported yet: leave them out");
  }
}

std::optional<Endpoint> ValidateDestinationEndpoint(const ServiceKey& service, const std::string& address,
                                                    uint32_t port, const std::string& field,
                                                    Problems& problems) {
  const std::optional<IpAddress> parsed = ValidateAddress(address, absl::StrCat(field, ".address"), problems);
  if (!ValidatePort(port, absl::StrCat(field, ".port"), problems) || !parsed) return std::nullopt;
  const Endpoint endpoint{*parsed, Be16::FromHost(static_cast<uint16_t>(port)), service.protocol};
  if (endpoint == service) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".address"),
                 absl::StrCat(endpoint.ToString(), ": is the service itself; packets would go round"));
    return std::nullopt;
  }
  return endpoint;
}

void ValidateDestination(const ServiceKey& service, const v1::Destination& destination,
                         const std::string& field, Problems& problems) {
  ValidateDestinationEndpoint(service, destination.address(), destination.port(), field, problems);
  ValidateMethod(destination, absl::StrCat(field, ".method"), problems);
  if (destination.weight() > kMaxWeight) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".weight"),
                 absl::StrCat(destination.weight(), ": must be 0..", kMaxWeight));
  }
  if (destination.upper_threshold() > kMaxThreshold) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".upper_threshold"),
                 absl::StrCat(destination.upper_threshold(), ": must be 0..", kMaxThreshold));
  } else if (destination.lower_threshold() > destination.upper_threshold()) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, absl::StrCat(field, ".lower_threshold"),
                 absl::StrCat(destination.lower_threshold(), ": must not be above the upper_threshold, ",
                              destination.upper_threshold()));
  }
  if (destination.has_tunnel() && destination.method() != v1::TUN) {
    problems.Add(v1::INVALID_VALUE, absl::StrCat(field, ".tunnel"),
                 "only a destination with method TUN can have it");
  }
}

void ValidateTimeouts(const v1::Timeouts& timeouts, const std::string& field, Problems& problems) {
  ValidateTimeout(timeouts.tcp_seconds(), absl::StrCat(field, ".tcp_seconds"), problems);
  ValidateTimeout(timeouts.tcp_fin_seconds(), absl::StrCat(field, ".tcp_fin_seconds"), problems);
  ValidateTimeout(timeouts.udp_seconds(), absl::StrCat(field, ".udp_seconds"), problems);
}

void ValidateSize(const v1::Service& service, const std::string& field, Problems& problems) {
  if (service.scheduler() != "mh" || service.destinations_size() <= kMaxMaglevDestinations) return;
  problems.Add(
      v1::INVALID_VALUE, field,
      absl::StrCat(service.destinations_size(), " real servers: mh can have ", kMaxMaglevDestinations));
}

}  // namespace sluice
