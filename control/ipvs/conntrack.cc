// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/conntrack.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "control/kernel/netlink_socket.h"

namespace sluice {
namespace {

using FoundAttributes = std::array<const nlattr*, 32>;

int CollectAttribute(const nlattr* attribute, void* to) {
  const uint16_t type = mnl_attr_get_type(attribute);
  if (FoundAttributes& found = *static_cast<FoundAttributes*>(to); type < found.size())
    found[type] = attribute;
  return MNL_CB_OK;
}

FoundAttributes Within(const nlattr* nest) {
  FoundAttributes found = {};
  if (nest != nullptr) mnl_attr_parse_nested(nest, CollectAttribute, &found);
  return found;
}

std::optional<IpAddress> AddressFrom(const FoundAttributes& of_tuple, int v4, int v6) {
  const FoundAttributes found = Within(of_tuple[CTA_TUPLE_IP]);
  if (const nlattr* at = found[static_cast<size_t>(v4)]; at != nullptr && mnl_attr_get_payload_len(at) == 4) {
    Be32 address;
    std::memcpy(&address.raw, mnl_attr_get_payload(at), 4);
    return IpAddress::FromV4(address);
  }
  if (const nlattr* at = found[static_cast<size_t>(v6)]; at != nullptr && mnl_attr_get_payload_len(at) == 16)
    return IpAddress::FromV6(mnl_attr_get_payload(at));
  return std::nullopt;
}

std::optional<Be16> PortFrom(const FoundAttributes& of_protocol, int type) {
  const nlattr* at = of_protocol[static_cast<size_t>(type)];
  if (at == nullptr || mnl_attr_get_payload_len(at) != 2) return std::nullopt;
  Be16 port;
  std::memcpy(&port.raw, mnl_attr_get_payload(at), 2);
  return port;
}

bool IsOf(const FoundAttributes& flow, const std::set<UdpServer>& servers) {
  const FoundAttributes original = Within(flow[CTA_TUPLE_ORIG]), reply = Within(flow[CTA_TUPLE_REPLY]);
  const FoundAttributes protocol = Within(original[CTA_TUPLE_PROTO]);
  const nlattr* number = protocol[CTA_PROTO_NUM];
  if (number == nullptr || mnl_attr_get_payload_len(number) < 1 || mnl_attr_get_u8(number) != IPPROTO_UDP)
    return false;
  const auto service = AddressFrom(original, CTA_IP_V4_DST, CTA_IP_V6_DST);
  const auto server = AddressFrom(reply, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const auto service_port = PortFrom(protocol, CTA_PROTO_DST_PORT);
  const auto server_port = PortFrom(Within(reply[CTA_TUPLE_PROTO]), CTA_PROTO_SRC_PORT);
  if (!service || !server || !service_port || !server_port) return false;
  for (const Be16 of_service : {*service_port, Be16{}}) {
    for (const Be16 of_server : {*server_port, Be16{}}) {
      if (servers.contains({*service, of_service, *server, of_server})) return true;
    }
  }
  return false;
}

struct alignas(nlmsghdr) ConntrackRequest {
  char bytes[1024] = {};

  ConntrackRequest(uint8_t command, uint16_t flags, uint8_t family) {
    nlmsghdr* header = mnl_nlmsg_put_header(bytes);
    header->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | command;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    auto* generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    generic->nfgen_family = family;
  }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes); }
};

// By its name and its number: another flow may have the name by then.
std::optional<ConntrackRequest> Deletion(const nlmsghdr& message, const FoundAttributes& flow) {
  const auto* generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message));
  ConntrackRequest request(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, generic->nfgen_family);
  for (const int type : {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID}) {
    const nlattr* at = flow[static_cast<size_t>(type)];
    if (at == nullptr) continue;
    const uint16_t length = mnl_attr_get_payload_len(at);
    if (!mnl_attr_put_check(&request.header(), sizeof request.bytes, at->nla_type, length,
                            mnl_attr_get_payload(at)))
      return std::nullopt;
  }
  return request;
}

}  // namespace

std::vector<UdpServer> GoneUdpServers(const KernelService* have, const KernelService* wanted) {
  std::vector<UdpServer> gone;
  if (have == nullptr || have->key.HasFwmark() || have->key.protocol != Protocol::kUdp) return gone;
  for (const KernelDestination& each : have->destinations) {
    const bool stays =
        wanted != nullptr && std::any_of(wanted->destinations.begin(), wanted->destinations.end(),
                                         [&](const auto& other) { return other.IsAt(each); });
    if (!stays) gone.push_back({have->key.address, have->key.port, each.address, each.port});
  }
  return gone;
}

absl::StatusOr<size_t> ForgetUdpFlows(const std::set<UdpServer>& servers) {
  const absl::StatusOr<std::unique_ptr<NetlinkSocket>> socket = NetlinkSocket::Open(0, NETLINK_NETFILTER);
  if (!socket.ok()) return socket.status();
  std::vector<ConntrackRequest> deletions;
  ConntrackRequest all(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
  const absl::Status read = (*socket)->Query(all.header(), [&](const nlmsghdr& message) {
    if (mnl_nlmsg_get_payload_len(&message) < sizeof(nfgenmsg)) return;
    FoundAttributes flow = {};
    mnl_attr_parse(&message, sizeof(nfgenmsg), CollectAttribute, &flow);
    if (!IsOf(flow, servers)) return;
    if (const std::optional<ConntrackRequest> deletion = Deletion(message, flow))
      deletions.push_back(*deletion);
  });
  if (!read.ok())
    return absl::Status(read.code(), absl::StrCat("conntrack cannot be read: ", read.message()));
  std::vector<nlmsghdr*> requests;
  for (ConntrackRequest& each : deletions) requests.push_back(&each.header());
  const absl::StatusOr<std::vector<int>> answers = (*socket)->SendAll(requests);
  if (!answers.ok()) return answers.status();
  for (const int error : *answers) {
    if (error != 0 && error != ENOENT)
      return absl::ErrnoToStatus(error, "flows of conntrack cannot be deleted");
  }
  return deletions.size();
}

}  // namespace sluice
