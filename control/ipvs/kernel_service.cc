// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/kernel_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "dataplane/config/source_filter.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

// IP_VS_SVC_F_...
constexpr uint32_t kPersistent = 0x1;
constexpr uint32_t kOnePacket = 0x4;
constexpr uint32_t kSchedulerFlag1 = 0x8;
constexpr uint32_t kSchedulerFlag2 = 0x10;
constexpr uint32_t kSchedulerFlag3 = 0x20;
// IP_VS_TUNNEL_ENCAP_FLAG_...
constexpr uint16_t kTunnelCsum = 0x1;
constexpr uint16_t kTunnelRemcsum = 0x2;

constexpr uint32_t kMethodMasks = 0;
constexpr uint32_t kMethodTunnel = 2;
constexpr uint32_t kMethodDirect = 3;

KernelService WithoutDestinations(const KernelService& service) {
  KernelService settings = service;
  settings.destinations.clear();
  return settings;
}

uint32_t MethodOf(v1::ForwardingMethod method) {
  switch (method) {
    case v1::NAT:
    case v1::FULLNAT: return kMethodMasks;
    case v1::TUN: return kMethodTunnel;
    default: return kMethodDirect;
  }
}

v1::ForwardingMethod MethodOf(uint32_t method) {
  if (method == kMethodMasks) return v1::NAT;
  return method == kMethodTunnel ? v1::TUN : v1::DR;
}

KernelDestination ToKernel(const v1::Destination& destination) {
  KernelDestination result{.address = *IpAddress::Parse(destination.address()),
                           .port = Be16::FromHost(static_cast<uint16_t>(destination.port())),
                           .method = MethodOf(destination.method()),
                           .weight = static_cast<int32_t>(destination.weight()),
                           .upper_threshold = destination.upper_threshold(),
                           .lower_threshold = destination.lower_threshold()};
  if (destination.method() == v1::TUN) {
    result.tunnel_type = static_cast<uint8_t>(destination.tunnel().type());
    result.tunnel_port = static_cast<uint16_t>(destination.tunnel().port());
    const v1::TunnelChecksum checksum = destination.tunnel().checksum();
    result.tunnel_flags = checksum == v1::TUNNEL_CSUM      ? kTunnelCsum
                          : checksum == v1::TUNNEL_REMCSUM ? kTunnelRemcsum
                                                           : uint16_t{0};
  }
  return result;
}

bool Any(const v1::Service& service, bool (*claim)(const v1::Destination&)) {
  return std::any_of(service.destinations().begin(), service.destinations().end(), claim);
}

}  // namespace

std::vector<KernelServiceChange> Difference(const KernelService* have, const KernelService* wanted) {
  using Kind = KernelServiceChange::Kind;
  std::vector<KernelServiceChange> changes;
  if (wanted == nullptr) {
    if (have != nullptr) changes.push_back({Kind::kDeleteService, WithoutDestinations(*have), {}});
    return changes;
  }
  const KernelService settings = WithoutDestinations(*wanted);
  if (have == nullptr) {
    changes.push_back({Kind::kNewService, settings, {}});
  } else if (!have->SameSettings(*wanted)) {
    changes.push_back({Kind::kSetService, settings, {}});
  }
  // Those that stay, in the kernel's order; from the first on that is not where it is wanted, all go.
  std::vector<KernelDestination> present;
  const std::vector<KernelDestination>& target = wanted->destinations;
  if (have != nullptr) {
    for (const KernelDestination& each : have->destinations) {
      const bool stays =
          std::any_of(target.begin(), target.end(), [&](const auto& other) { return other.IsAt(each); });
      if (stays) {
        present.push_back(each);
      } else {
        changes.push_back({Kind::kDeleteDestination, settings, each});
      }
    }
  }
  size_t same = 0;
  while (same < present.size() && present[same].IsAt(target[same])) ++same;
  for (size_t i = same; i < present.size(); ++i)
    changes.push_back({Kind::kDeleteDestination, settings, present[i]});
  for (size_t i = 0; i < target.size(); ++i) {
    if (i >= same) {
      changes.push_back({Kind::kNewDestination, settings, target[i]});
    } else if (!(present[i] == target[i])) {
      changes.push_back({Kind::kSetDestination, settings, target[i]});
    }
  }
  return changes;
}

KernelForm ToKernel(const v1::Service& service) {
  KernelForm form;
  if (service.allow_sources_size() + service.deny_sources_size() > 0) {
    if (service.key().fwmark() != 0) {
      form.lost.push_back(
          "of a firewall mark's service the kernel cannot tell clients apart (allow_sources, deny_sources)");
      return form;
    }
    form.needs.clients = SourceFilter(ToSpec(service).sources).AdmittedRanges();
  }
  KernelService result;
  const v1::ServiceKey& key = service.key();
  result.key = key.fwmark() != 0
                   ? KeyOfFwmark(key.fwmark(), key.family())
                   : ServiceKey{ToEndpoint(key.address(), key.port(), static_cast<Protocol>(key.protocol()))};
  const bool is_v4 = result.key.address.IsV4();
  result.scheduler = service.scheduler();
  result.prefix_length = is_v4 ? 32 : 128;
  for (const int flag : service.scheduler_flags()) {
    if (flag == v1::FLAG_1) result.flags |= kSchedulerFlag1;
    if (flag == v1::FLAG_2) result.flags |= kSchedulerFlag2;
    if (flag == v1::FLAG_3) result.flags |= kSchedulerFlag3;
  }
  if (service.one_packet()) result.flags |= kOnePacket;
  if (service.has_persistence()) {
    result.flags |= kPersistent;
    result.timeout = service.persistence().timeout_seconds();
    result.prefix_length =
        PrefixLengthOfNetmask(service.persistence().netmask(), is_v4).value_or(result.prefix_length);
    result.engine = service.persistence().engine();
    if (service.persistence().strict()) form.lost.push_back("strict persistence");
  }
  for (const v1::Destination& destination : service.destinations())
    result.destinations.push_back(ToKernel(destination));
  if (key.fwmark() != 0) form.lost.push_back("a firewall must mark its packets in the kernel");
  form.needs.masquerade =
      Any(service, [](const v1::Destination& each) { return each.method() == v1::FULLNAT; });
  if (form.needs.masquerade && !service.unmasqueraded_sources().empty()) {
    SourceRanges kept;
    for (const std::string& text : service.unmasqueraded_sources()) {
      const auto prefix = ParsePrefix(text);
      kept.allow.push_back({prefix->first, prefix->second});
    }
    form.needs.keeps = SourceFilter(kept).AdmittedRanges();
  }
  for (const v1::Destination& each : service.destinations()) {
    if (each.on_this_host() && MethodOf(each.method()) == kMethodMasks)
      form.needs.own_clients.push_back(*IpAddress::Parse(each.address()));
  }
  if (service.has_timeouts()) form.lost.push_back("timeouts of its own: the global ones count");
  if (service.drain_seconds() != 0) form.lost.push_back("drain_seconds");
  if (service.no_destination() != v1::ICMP_UNREACHABLE)
    form.lost.push_back("no_destination: an ICMP error is sent");
  form.service = std::move(result);
  return form;
}

v1::Service FromKernel(const KernelService& kernel) {
  v1::Service service;
  *service.mutable_key() = ToMessage(kernel.key);
  service.set_scheduler(kernel.scheduler);
  if (kernel.flags & kSchedulerFlag1) service.add_scheduler_flags(v1::FLAG_1);
  if (kernel.flags & kSchedulerFlag2) service.add_scheduler_flags(v1::FLAG_2);
  if (kernel.flags & kSchedulerFlag3) service.add_scheduler_flags(v1::FLAG_3);
  service.set_one_packet(kernel.flags & kOnePacket);
  if (kernel.flags & kPersistent) {
    const bool is_v4 = kernel.key.address.IsV4();
    v1::Persistence& persistence = *service.mutable_persistence();
    persistence.set_timeout_seconds(kernel.timeout);
    persistence.set_engine(kernel.engine);
    if (is_v4 && kernel.prefix_length < 32) {
      const uint32_t mask = kernel.prefix_length == 0 ? 0 : ~uint32_t{0} << (32 - kernel.prefix_length);
      persistence.set_netmask(IpAddress::FromV4(Be32::FromHost(mask)).ToString());
    } else if (!is_v4 && kernel.prefix_length < 128) {
      persistence.set_netmask(absl::StrCat(kernel.prefix_length));
    }
  }
  for (const KernelDestination& each : kernel.destinations) {
    v1::Destination& destination = *service.add_destinations();
    destination.set_address(each.address.ToString());
    destination.set_port(each.port.ToHost());
    destination.set_method(MethodOf(each.method));
    destination.set_weight(static_cast<uint32_t>(std::max(each.weight, 0)));
    destination.set_upper_threshold(each.upper_threshold);
    destination.set_lower_threshold(each.lower_threshold);
    if (each.method != kMethodTunnel) continue;
    destination.mutable_tunnel()->set_type(static_cast<v1::TunnelType>(each.tunnel_type));
    destination.mutable_tunnel()->set_port(each.tunnel_port);
    if (each.tunnel_flags & kTunnelCsum) destination.mutable_tunnel()->set_checksum(v1::TUNNEL_CSUM);
    if (each.tunnel_flags & kTunnelRemcsum) destination.mutable_tunnel()->set_checksum(v1::TUNNEL_REMCSUM);
  }
  return service;
}

}  // namespace sluice
