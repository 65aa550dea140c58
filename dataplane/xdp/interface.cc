// SPDX-License-Identifier: Apache-2.0
#include "dataplane/xdp/interface.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kAnswerBytes = 32 * 1024;

// A request about one interface, with room for a few attributes.
struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  char attributes[64];
};

LinkRequest RequestAbout(uint16_t type, int index) {
  LinkRequest request{};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof(ifinfomsg));
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.link.ifi_family = AF_UNSPEC;
  request.link.ifi_index = index;
  return request;
}

void Add(LinkRequest& request, uint16_t type, const void* value, size_t length) {
  auto* attribute =
      reinterpret_cast<rtattr*>(reinterpret_cast<char*>(&request) + NLMSG_ALIGN(request.header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = static_cast<uint16_t>(RTA_LENGTH(length));
  std::memcpy(RTA_DATA(attribute), value, length);
  request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

// Sends a request and waits for its answer: a message, or the error that the kernel has with it.
absl::StatusOr<std::vector<char>> Ask(const LinkRequest& request) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return absl::ErrnoToStatus(errno, "no netlink socket");
  std::vector<char> answer(kAnswerBytes);
  ssize_t length = send(fd, &request, request.header.nlmsg_len, 0);
  if (length >= 0) length = recv(fd, answer.data(), answer.size(), 0);
  const int error = errno;
  close(fd);
  if (length < 0) return absl::ErrnoToStatus(error, "netlink");
  answer.resize(static_cast<size_t>(length));
  auto* header = reinterpret_cast<nlmsghdr*>(answer.data());
  if (!NLMSG_OK(header, static_cast<unsigned>(length))) return absl::InternalError("netlink: a short answer");
  if (header->nlmsg_type != NLMSG_ERROR) return answer;
  const int refused = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
  if (refused == 0) return answer;
  if (refused == ENODEV) return absl::NotFoundError("there is no such interface");
  return absl::ErrnoToStatus(refused, "netlink");
}

// Calls `receive` with each attribute of a list.
template <class Receive>
void ForEachAttribute(const rtattr* attribute, int bytes, const Receive& receive) {
  for (; RTA_OK(attribute, bytes); attribute = RTA_NEXT(attribute, bytes)) receive(*attribute);
}

template <class T>
T ValueOf(const rtattr& attribute) {
  T value{};
  std::memcpy(&value, RTA_DATA(&attribute), std::min<size_t>(sizeof value, RTA_PAYLOAD(&attribute)));
  return value;
}

void TakePrograms(const rtattr& nest, InterfaceState& state) {
  ForEachAttribute(static_cast<const rtattr*>(RTA_DATA(&nest)), static_cast<int>(RTA_PAYLOAD(&nest)),
                   [&](const rtattr& attribute) {
                     switch (attribute.rta_type & NLA_TYPE_MASK) {
                       case IFLA_XDP_DRV_PROG_ID: state.native_program = ValueOf<uint32_t>(attribute); break;
                       case IFLA_XDP_SKB_PROG_ID: state.generic_program = ValueOf<uint32_t>(attribute); break;
                       case IFLA_XDP_HW_PROG_ID: state.hardware_program = ValueOf<uint32_t>(attribute); break;
                       default: break;
                     }
                   });
}

absl::StatusOr<InterfaceState> Read(LinkRequest request) {
  constexpr uint32_t kNoStatistics = RTEXT_FILTER_SKIP_STATS;
  Add(request, IFLA_EXT_MASK, &kNoStatistics, sizeof kNoStatistics);
  absl::StatusOr<std::vector<char>> answer = Ask(request);
  if (!answer.ok()) return answer.status();
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer->data());
  if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg)))
    return absl::InternalError("netlink: not an interface");
  const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  InterfaceState state{.index = link->ifi_index};
  state.is_up = (link->ifi_flags & IFF_UP) != 0;
  state.link_up = (link->ifi_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
  ForEachAttribute(IFLA_RTA(link), static_cast<int>(IFLA_PAYLOAD(header)), [&](const rtattr& attribute) {
    switch (attribute.rta_type & NLA_TYPE_MASK) {
      case IFLA_IFNAME:
        state.name.assign(static_cast<const char*>(RTA_DATA(&attribute)),
                          strnlen(static_cast<const char*>(RTA_DATA(&attribute)), RTA_PAYLOAD(&attribute)));
        break;
      case IFLA_ADDRESS: state.mac = ValueOf<MacAddress>(attribute); break;
      case IFLA_MTU: state.mtu = static_cast<int>(ValueOf<uint32_t>(attribute)); break;
      case IFLA_XDP: TakePrograms(attribute, state); break;
      default: break;
    }
  });
  return state;
}

// Calls `receive` with every link that events tell of.
template <class Receive>
void ForEachEvent(int events, const Receive& receive) {
  std::vector<char> buffer(kAnswerBytes);
  for (ssize_t length; (length = recv(events, buffer.data(), buffer.size(), 0)) > 0;) {
    auto rest = static_cast<unsigned>(length);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, rest);
         header = NLMSG_NEXT(header, rest)) {
      if (header->nlmsg_type == RTM_NEWLINK && header->nlmsg_len >= NLMSG_LENGTH(sizeof(ifinfomsg)))
        receive(*static_cast<const ifinfomsg*>(NLMSG_DATA(header)));
    }
  }
}

}  // namespace

absl::StatusOr<InterfaceState> ReadInterface(int index) {
  // The kernel takes 0 for "by name".
  if (index <= 0) return absl::NotFoundError("there is no such interface");
  return Read(RequestAbout(RTM_GETLINK, index));
}

absl::StatusOr<InterfaceState> FindInterface(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return absl::NotFoundError(absl::StrCat("interface ", name, " does not exist"));
  LinkRequest request = RequestAbout(RTM_GETLINK, 0);
  Add(request, IFLA_IFNAME, name.c_str(), name.size() + 1);
  absl::StatusOr<InterfaceState> state = Read(request);
  if (absl::IsNotFound(state.status()))
    return absl::NotFoundError(absl::StrCat("interface ", name, " does not exist"));
  return state;
}

absl::Status SetInterfaceMac(int index, const MacAddress& mac) {
  LinkRequest request = RequestAbout(RTM_NEWLINK, index);
  request.header.nlmsg_flags |= NLM_F_ACK;
  Add(request, IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  return Ask(request).status();
}

absl::Status SetInterfaceUp(int index, bool is_up) {
  LinkRequest request = RequestAbout(RTM_NEWLINK, index);
  request.header.nlmsg_flags |= NLM_F_ACK;
  request.link.ifi_flags = is_up ? IFF_UP : 0;
  request.link.ifi_change = IFF_UP;
  return Ask(request).status();
}

int OpenLinkEvents() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

FlagsGuard::FlagsGuard(int index) : index_(index), events_(OpenLinkEvents()) {
  const absl::StatusOr<InterfaceState> now = ReadInterface(index);
  was_up_ = now.ok() && now->is_up;
}

// Two changes that end where they began are somebody's, and that of the driver which did not know of it.
FlagsGuard::~FlagsGuard() {
  if (events_ < 0) return;
  int changes = 0;
  bool is_up = was_up_;
  ForEachEvent(events_, [&](const ifinfomsg& link) {
    if (link.ifi_index != index_ || ((link.ifi_flags & IFF_UP) != 0) == is_up) return;
    is_up = !is_up;
    ++changes;
  });
  if (changes >= 2 && is_up == was_up_) SetInterfaceUp(index_, !was_up_).IgnoreError();
  close(events_);
}

}  // namespace sluice
