// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/kernel_ipvs.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr uint32_t kHashed = 0x2;  // IP_VS_SVC_F_HASHED: the kernel's affair
constexpr size_t kRequestBytes = 512;

struct alignas(nlmsghdr) Request {
  char bytes[kRequestBytes] = {};

  Request(uint16_t family, uint8_t command, uint16_t flags = 0) {
    nlmsghdr* header = mnl_nlmsg_put_header(bytes);
    header->nlmsg_type = family;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(header, sizeof(genlmsghdr)));
    generic->cmd = command;
    generic->version = 1;
  }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes); }
};

// Attributes by number; those of higher numbers are not looked at.
class Attributes {
 public:
  static Attributes Of(const nlmsghdr& message) {
    Attributes attributes;
    mnl_attr_parse(&message, sizeof(genlmsghdr), Collect, &attributes);
    return attributes;
  }
  Attributes Nested(int type) const {
    Attributes attributes;
    if (at_[type] != nullptr) mnl_attr_parse_nested(at_[type], Collect, &attributes);
    return attributes;
  }
  bool Has(int type) const { return at_[type] != nullptr; }
  template <class T>
  T Get(int type) const {
    T value{};
    if (at_[type] != nullptr)
      std::memcpy(&value, mnl_attr_get_payload(at_[type]),
                  std::min<size_t>(sizeof value, mnl_attr_get_payload_len(at_[type])));
    return value;
  }
  std::string Text(int type) const {
    if (at_[type] == nullptr) return "";
    const auto* text = static_cast<const char*>(mnl_attr_get_payload(at_[type]));
    return {text, strnlen(text, mnl_attr_get_payload_len(at_[type]))};
  }
  IpAddress Address(int type, uint16_t family) const {
    const auto bytes = Get<std::array<uint8_t, 16>>(type);
    if (family == AF_INET6) return IpAddress::FromV6(bytes.data());
    Be32 v4;
    std::memcpy(&v4.raw, bytes.data(), 4);
    return IpAddress::FromV4(v4);
  }

 private:
  static constexpr int kMost = 32;
  static int Collect(const nlattr* attribute, void* to) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type < kMost) static_cast<Attributes*>(to)->at_[type] = attribute;
    return MNL_CB_OK;
  }
  const nlattr* at_[kMost] = {};
};

uint16_t NetlinkFamily(const IpAddress& address) { return address.IsV4() ? AF_INET : AF_INET6; }

void PutAddress(nlmsghdr& request, uint16_t type, const IpAddress& address) {
  uint8_t bytes[16] = {};
  if (address.IsV4()) {
    const Be32 v4 = address.V4();
    std::memcpy(bytes, &v4.raw, 4);
  } else {
    std::memcpy(bytes, address.bytes.data(), 16);
  }
  mnl_attr_put(&request, type, sizeof bytes, bytes);
}

// With `settings`, all that creating and changing it take; otherwise only what names it.
void PutService(nlmsghdr& request, const KernelService& service, bool settings) {
  nlattr* nest = mnl_attr_nest_start(&request, IPVS_CMD_ATTR_SERVICE);
  const ServiceKey& key = service.key;
  mnl_attr_put_u16(&request, IPVS_SVC_ATTR_AF, NetlinkFamily(key.address));
  if (key.HasFwmark()) {
    mnl_attr_put_u32(&request, IPVS_SVC_ATTR_FWMARK, key.fwmark);
  } else {
    mnl_attr_put_u16(&request, IPVS_SVC_ATTR_PROTOCOL, static_cast<uint8_t>(key.protocol));
    PutAddress(request, IPVS_SVC_ATTR_ADDR, key.address);
    mnl_attr_put_u16(&request, IPVS_SVC_ATTR_PORT, key.port.raw);
  }
  if (settings) {
    mnl_attr_put_strz(&request, IPVS_SVC_ATTR_SCHED_NAME, service.scheduler.c_str());
    const ip_vs_flags flags = {.flags = service.flags, .mask = ~uint32_t{kHashed}};
    mnl_attr_put(&request, IPVS_SVC_ATTR_FLAGS, sizeof flags, &flags);
    mnl_attr_put_u32(&request, IPVS_SVC_ATTR_TIMEOUT, service.timeout);
    const bool is_v4 = key.address.IsV4();
    const uint32_t mask =
        service.prefix_length == 0 ? 0 : ~uint32_t{0} << (32 - std::min<int>(service.prefix_length, 32));
    mnl_attr_put_u32(&request, IPVS_SVC_ATTR_NETMASK,
                     is_v4 ? Be32::FromHost(mask).raw : service.prefix_length);
    if (!service.engine.empty()) mnl_attr_put_strz(&request, IPVS_SVC_ATTR_PE_NAME, service.engine.c_str());
  }
  mnl_attr_nest_end(&request, nest);
}

void PutDestination(nlmsghdr& request, const KernelDestination& destination, bool settings) {
  nlattr* nest = mnl_attr_nest_start(&request, IPVS_CMD_ATTR_DEST);
  mnl_attr_put_u16(&request, IPVS_DEST_ATTR_ADDR_FAMILY, NetlinkFamily(destination.address));
  PutAddress(request, IPVS_DEST_ATTR_ADDR, destination.address);
  mnl_attr_put_u16(&request, IPVS_DEST_ATTR_PORT, destination.port.raw);
  if (settings) {
    mnl_attr_put_u32(&request, IPVS_DEST_ATTR_FWD_METHOD, destination.method);
    mnl_attr_put_u32(&request, IPVS_DEST_ATTR_WEIGHT, static_cast<uint32_t>(destination.weight));
    mnl_attr_put_u8(&request, IPVS_DEST_ATTR_TUN_TYPE, destination.tunnel_type);
    mnl_attr_put_u16(&request, IPVS_DEST_ATTR_TUN_PORT, Be16::FromHost(destination.tunnel_port).raw);
    mnl_attr_put_u16(&request, IPVS_DEST_ATTR_TUN_FLAGS, destination.tunnel_flags);
    mnl_attr_put_u32(&request, IPVS_DEST_ATTR_U_THRESH, destination.upper_threshold);
    mnl_attr_put_u32(&request, IPVS_DEST_ATTR_L_THRESH, destination.lower_threshold);
  }
  mnl_attr_nest_end(&request, nest);
}

KernelService ServiceOf(const nlmsghdr& message) {
  const Attributes attributes = Attributes::Of(message).Nested(IPVS_CMD_ATTR_SERVICE);
  const auto family = attributes.Get<uint16_t>(IPVS_SVC_ATTR_AF);
  KernelService service;
  if (attributes.Has(IPVS_SVC_ATTR_FWMARK)) {
    service.key.fwmark = attributes.Get<uint32_t>(IPVS_SVC_ATTR_FWMARK);
    service.key.address =
        IpAddress::Unspecified(family == AF_INET6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4);
  } else {
    service.key.address = attributes.Address(IPVS_SVC_ATTR_ADDR, family);
    service.key.port = {attributes.Get<uint16_t>(IPVS_SVC_ATTR_PORT)};
    service.key.protocol = static_cast<Protocol>(attributes.Get<uint16_t>(IPVS_SVC_ATTR_PROTOCOL));
  }
  service.scheduler = attributes.Text(IPVS_SVC_ATTR_SCHED_NAME);
  service.flags = attributes.Get<ip_vs_flags>(IPVS_SVC_ATTR_FLAGS).flags & ~kHashed;
  service.timeout = attributes.Get<uint32_t>(IPVS_SVC_ATTR_TIMEOUT);
  const auto mask = attributes.Get<uint32_t>(IPVS_SVC_ATTR_NETMASK);
  service.prefix_length =
      family == AF_INET6 ? static_cast<uint8_t>(mask) : static_cast<uint8_t>(__builtin_popcount(mask));
  service.engine = attributes.Text(IPVS_SVC_ATTR_PE_NAME);
  return service;
}

KernelDestination DestinationOf(const nlmsghdr& message, uint16_t service_family) {
  const Attributes attributes = Attributes::Of(message).Nested(IPVS_CMD_ATTR_DEST);
  const auto own_family = attributes.Get<uint16_t>(IPVS_DEST_ATTR_ADDR_FAMILY);
  return {.address = attributes.Address(IPVS_DEST_ATTR_ADDR, own_family == 0 ? service_family : own_family),
          .port = {attributes.Get<uint16_t>(IPVS_DEST_ATTR_PORT)},
          .method = attributes.Get<uint32_t>(IPVS_DEST_ATTR_FWD_METHOD) & 7,
          .weight = attributes.Get<int32_t>(IPVS_DEST_ATTR_WEIGHT),
          .upper_threshold = attributes.Get<uint32_t>(IPVS_DEST_ATTR_U_THRESH),
          .lower_threshold = attributes.Get<uint32_t>(IPVS_DEST_ATTR_L_THRESH),
          .tunnel_type = attributes.Get<uint8_t>(IPVS_DEST_ATTR_TUN_TYPE),
          .tunnel_port = Be16{attributes.Get<uint16_t>(IPVS_DEST_ATTR_TUN_PORT)}.ToHost(),
          .tunnel_flags = attributes.Get<uint16_t>(IPVS_DEST_ATTR_TUN_FLAGS)};
}

uint8_t CommandOf(KernelServiceChange::Kind kind) {
  switch (kind) {
    case KernelServiceChange::Kind::kNewService: return IPVS_CMD_NEW_SERVICE;
    case KernelServiceChange::Kind::kSetService: return IPVS_CMD_SET_SERVICE;
    case KernelServiceChange::Kind::kDeleteService: return IPVS_CMD_DEL_SERVICE;
    case KernelServiceChange::Kind::kNewDestination: return IPVS_CMD_NEW_DEST;
    case KernelServiceChange::Kind::kSetDestination: return IPVS_CMD_SET_DEST;
    case KernelServiceChange::Kind::kDeleteDestination: return IPVS_CMD_DEL_DEST;
  }
  return 0;
}

Request RequestOf(uint16_t family, const KernelServiceChange& change) {
  using Kind = KernelServiceChange::Kind;
  Request request(family, CommandOf(change.kind));
  PutService(request.header(), change.service,
             change.kind == Kind::kNewService || change.kind == Kind::kSetService);
  if (change.kind == Kind::kNewDestination || change.kind == Kind::kSetDestination ||
      change.kind == Kind::kDeleteDestination)
    PutDestination(request.header(), change.destination, change.kind != Kind::kDeleteDestination);
  return request;
}

Request DaemonRequest(uint16_t family, uint8_t command, const KernelDaemon& daemon) {
  Request request(family, command);
  nlattr* nest = mnl_attr_nest_start(&request.header(), IPVS_CMD_ATTR_DAEMON);
  mnl_attr_put_u32(&request.header(), IPVS_DAEMON_ATTR_STATE,
                   daemon.is_backup ? IP_VS_STATE_BACKUP : IP_VS_STATE_MASTER);
  mnl_attr_put_strz(&request.header(), IPVS_DAEMON_ATTR_MCAST_IFN, daemon.interface.c_str());
  mnl_attr_put_u32(&request.header(), IPVS_DAEMON_ATTR_SYNC_ID, daemon.sync_id);
  mnl_attr_nest_end(&request.header(), nest);
  return request;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelIpvs>> KernelIpvs::Open() {
  absl::StatusOr<std::unique_ptr<NetlinkSocket>> socket = NetlinkSocket::Open(0, NETLINK_GENERIC);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<KernelIpvs> ipvs(new KernelIpvs());
  ipvs->socket_ = *std::move(socket);
  if (const absl::Status found = ipvs->FindFamily(); !found.ok()) return found;
  return ipvs;
}

absl::Status KernelIpvs::FindFamily() {
  Request request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
  mnl_attr_put_strz(&request.header(), CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
  const absl::Status answered = socket_->Query(request.header(), [&](const nlmsghdr& message) {
    family_ = Attributes::Of(message).Get<uint16_t>(CTRL_ATTR_FAMILY_ID);
  });
  if (!answered.ok() || family_ == 0)
    return absl::NotFoundError(
        absl::StrCat("this kernel has no IPVS: module ip_vs is missing, or could not be loaded (",
                     answered.ok() ? "no such family" : std::string(answered.message()), ")"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<KernelService>> KernelIpvs::Services() {
  std::vector<KernelService> services;
  Request request(family_, IPVS_CMD_GET_SERVICE, NLM_F_DUMP);
  const absl::Status dumped = socket_->Query(
      request.header(), [&](const nlmsghdr& message) { services.push_back(ServiceOf(message)); });
  if (!dumped.ok()) return dumped;
  for (KernelService& service : services) {
    if (const absl::Status read = ReadDestinations(service); !read.ok()) return read;
  }
  return services;
}

absl::Status KernelIpvs::ReadDestinations(KernelService& service) {
  Request request(family_, IPVS_CMD_GET_DEST, NLM_F_DUMP);
  PutService(request.header(), service, false);
  const absl::Status dumped = socket_->Query(request.header(), [&](const nlmsghdr& message) {
    service.destinations.push_back(DestinationOf(message, NetlinkFamily(service.key.address)));
  });
  // The kernel lists the newest first.
  std::reverse(service.destinations.begin(), service.destinations.end());
  return dumped;
}

absl::StatusOr<std::vector<int>> KernelIpvs::Apply(const std::vector<KernelServiceChange>& changes) {
  std::deque<Request> requests;
  std::vector<nlmsghdr*> headers;
  for (const KernelServiceChange& change : changes) {
    requests.push_back(RequestOf(family_, change));
    headers.push_back(&requests.back().header());
  }
  return socket_->SendAll(headers);
}

absl::Status KernelIpvs::Do(nlmsghdr& request) {
  request.nlmsg_flags |= NLM_F_ACK;
  return socket_->Query(request, [](const nlmsghdr&) {});
}

absl::Status KernelIpvs::SetTimeouts(const TimeoutSpec& timeouts) {
  Request request(family_, IPVS_CMD_SET_CONFIG);
  mnl_attr_put_u32(&request.header(), IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.tcp_seconds);
  mnl_attr_put_u32(&request.header(), IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.tcp_fin_seconds);
  mnl_attr_put_u32(&request.header(), IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.udp_seconds);
  return Do(request.header());
}

absl::StatusOr<std::vector<KernelDaemon>> KernelIpvs::Daemons() {
  std::vector<KernelDaemon> daemons;
  Request request(family_, IPVS_CMD_GET_DAEMON, NLM_F_DUMP);
  const absl::Status dumped = socket_->Query(request.header(), [&](const nlmsghdr& message) {
    const Attributes attributes = Attributes::Of(message).Nested(IPVS_CMD_ATTR_DAEMON);
    daemons.push_back({.is_backup = attributes.Get<uint32_t>(IPVS_DAEMON_ATTR_STATE) == IP_VS_STATE_BACKUP,
                       .interface = attributes.Text(IPVS_DAEMON_ATTR_MCAST_IFN),
                       .sync_id = attributes.Get<uint32_t>(IPVS_DAEMON_ATTR_SYNC_ID)});
  });
  if (!dumped.ok()) return dumped;
  return daemons;
}

absl::Status KernelIpvs::StartDaemon(const KernelDaemon& daemon) {
  return Do(DaemonRequest(family_, IPVS_CMD_NEW_DAEMON, daemon).header());
}

absl::Status KernelIpvs::StopDaemon(const KernelDaemon& daemon) {
  return Do(DaemonRequest(family_, IPVS_CMD_DEL_DAEMON, daemon).header());
}

}  // namespace sluice
