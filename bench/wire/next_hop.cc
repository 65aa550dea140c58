// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/next_hop.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>

#include "bench/wire/sockets.h"

namespace sluice {
namespace {

struct Close {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using NetlinkSocket = std::unique_ptr<mnl_socket, Close>;

// One question; `take` gets every attribute of the answer, which begins behind `header` bytes.
absl::Status Ask(mnl_socket* netlink, nlmsghdr* request, size_t header,
                 const std::function<void(const nlattr&)>& take) {
  request->nlmsg_flags = NLM_F_REQUEST;
  if (mnl_socket_sendto(netlink, request, request->nlmsg_len) < 0)
    return absl::ErrnoToStatus(errno, "cannot ask the kernel for the way");
  char buffer[8192];
  const ssize_t length = mnl_socket_recvfrom(netlink, buffer, sizeof buffer);
  if (length < 0) return absl::ErrnoToStatus(errno, "the kernel does not tell the way");
  const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer);
  if (!mnl_nlmsg_ok(answer, static_cast<int>(length)))
    return absl::InternalError("netlink's answer is cut off");
  if (answer->nlmsg_type == NLMSG_ERROR) {
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer));
    return absl::ErrnoToStatus(-error->error, "there is no way to that address");
  }
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(answer));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(answer, header));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    take(*attribute);
  }
  return absl::OkStatus();
}

void PutAddress(nlmsghdr* request, uint16_t type, const IpAddress& address) {
  const size_t unused = address.IsV4() ? 12 : 0;
  mnl_attr_put(request, type, 16 - unused, address.bytes.data() + unused);
}

IpAddress AddressIn(const nlattr& attribute) {
  const void* bytes = mnl_attr_get_payload(&attribute);
  if (mnl_attr_get_payload_len(&attribute) == 16) return IpAddress::FromV6(bytes);
  Be32 v4;
  std::memcpy(&v4, bytes, sizeof v4);
  return IpAddress::FromV4(v4);
}

void CopyMac(const nlattr& attribute, MacAddress& to) {
  if (mnl_attr_get_payload_len(&attribute) == to.bytes.size())
    std::memcpy(to.bytes.data(), mnl_attr_get_payload(&attribute), to.bytes.size());
}

uint8_t FamilyOf(const IpAddress& address) { return address.IsV4() ? AF_INET : AF_INET6; }

absl::StatusOr<IpAddress> AskRoute(mnl_socket* netlink, const IpAddress& target, int& interface) {
  char buffer[512] = {};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETROUTE;
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  header->rtm_family = FamilyOf(target);
  header->rtm_dst_len = target.IsV4() ? 32 : 128;
  PutAddress(request, RTA_DST, target);
  IpAddress next = target;
  const absl::Status asked = Ask(netlink, request, sizeof(rtmsg), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == RTA_OIF) interface = static_cast<int>(mnl_attr_get_u32(&attribute));
    if (mnl_attr_get_type(&attribute) == RTA_GATEWAY) next = AddressIn(attribute);
  });
  if (!asked.ok()) return asked;
  return next;
}

absl::Status AskOwnMac(mnl_socket* netlink, WireNextHop& hop) {
  char buffer[512] = {};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETLINK;
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  header->ifi_index = hop.interface;
  return Ask(netlink, request, sizeof(ifinfomsg), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == IFLA_ADDRESS) CopyMac(attribute, hop.own);
  });
}

absl::Status AskNeighbour(mnl_socket* netlink, const IpAddress& next, WireNextHop& hop) {
  char buffer[512] = {};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETNEIGH;
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
  header->ndm_family = FamilyOf(next);
  header->ndm_ifindex = hop.interface;
  PutAddress(request, NDA_DST, next);
  return Ask(netlink, request, sizeof(ndmsg), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == NDA_LLADDR) CopyMac(attribute, hop.neighbour);
  });
}

// To where nobody listens: what is measured shall not see it.
void Knock(const IpAddress& next) {
  constexpr Be16 kDiscard = Be16::FromHost(9);
  const SocketAddress to(next, kDiscard);
  const int one = socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (one < 0) return;
  (void)sendto(one, "", 0, MSG_DONTWAIT, to.get(), to.length);
  close(one);
}

}  // namespace

absl::StatusOr<WireNextHop> FindNextHop(const Endpoint& target) {
  const NetlinkSocket netlink(mnl_socket_open(NETLINK_ROUTE));
  if (netlink == nullptr || mnl_socket_bind(netlink.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return absl::ErrnoToStatus(errno, "cannot ask the kernel for the way");
  WireNextHop hop;
  const absl::StatusOr<IpAddress> next = AskRoute(netlink.get(), target.address, hop.interface);
  if (!next.ok()) return next.status();
  if (const absl::Status asked = AskOwnMac(netlink.get(), hop); !asked.ok()) return asked;
  constexpr int kTries = 30;
  for (int i = 0; i < kTries && hop.neighbour.IsZero(); ++i) {
    Knock(*next);
    const timespec wait = {0, 100'000'000};
    if (i > 0) nanosleep(&wait, nullptr);
    (void)AskNeighbour(netlink.get(), *next, hop);
  }
  if (hop.neighbour.IsZero())
    return absl::UnavailableError("nobody answers on the way there: no neighbour " + next->ToString());
  return hop;
}

}  // namespace sluice
