// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/dummy_interface.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <thread>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// While others add or delete addresses, such as the mirror beside the sync master, a dump is not consistent.
constexpr int kMostDumps = 100;

struct alignas(nlmsghdr) Request {
  char bytes[256] = {};
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes); }
};

Request AddressRequest(uint16_t type, int interface, const IpAddress& address) {
  Request request;
  nlmsghdr* header = mnl_nlmsg_put_header(request.bytes);
  header->nlmsg_type = type;
  header->nlmsg_flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
  auto* message = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifaddrmsg)));
  message->ifa_family = address.IsV4() ? AF_INET : AF_INET6;
  message->ifa_prefixlen = address.IsV4() ? 32 : 128;
  message->ifa_index = static_cast<uint32_t>(interface);
  message->ifa_flags = IFA_F_NODAD;  // nobody else is there
  const size_t unused_bytes = address.IsV4() ? 12 : 0;
  mnl_attr_put(header, IFA_LOCAL, 16 - unused_bytes, address.bytes.data() + unused_bytes);
  mnl_attr_put(header, IFA_ADDRESS, 16 - unused_bytes, address.bytes.data() + unused_bytes);
  return request;
}

// The interface that an address is on, and the address; link-local ones of IPv6 come by themselves.
std::optional<std::pair<int, IpAddress>> AddressOf(const nlmsghdr& message) {
  const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&message));
  if (message.nlmsg_type != RTM_NEWADDR || header->ifa_scope == RT_SCOPE_LINK) return std::nullopt;
  // Of a peer-to-peer link IFA_ADDRESS is the peer's.
  const nlattr* at[IFA_MAX + 1] = {};
  mnl_attr_parse(
      &message, sizeof(ifaddrmsg),
      [](const nlattr* attribute, void* to) {
        if (mnl_attr_get_type(attribute) <= IFA_MAX)
          static_cast<const nlattr**>(to)[mnl_attr_get_type(attribute)] = attribute;
        return MNL_CB_OK;
      },
      at);
  const nlattr* address = at[IFA_LOCAL] != nullptr ? at[IFA_LOCAL] : at[IFA_ADDRESS];
  if (address == nullptr) return std::nullopt;
  std::optional<IpAddress> found;
  if (header->ifa_family == AF_INET6 && mnl_attr_get_payload_len(address) == 16) {
    found = IpAddress::FromV6(mnl_attr_get_payload(address));
  } else if (header->ifa_family == AF_INET && mnl_attr_get_payload_len(address) == 4) {
    Be32 v4;
    std::memcpy(&v4.raw, mnl_attr_get_payload(address), 4);
    found = IpAddress::FromV4(v4);
  }
  if (!found) return std::nullopt;
  return std::pair(static_cast<int>(header->ifa_index), *found);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DummyInterface>> DummyInterface::Open(const std::string& name) {
  absl::StatusOr<std::unique_ptr<NetlinkSocket>> socket = NetlinkSocket::Open(0);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<DummyInterface> result(new DummyInterface(name));
  result->socket_ = *std::move(socket);
  return result;
}

absl::Status DummyInterface::Create() {
  Request request;
  nlmsghdr* header = mnl_nlmsg_put_header(request.bytes);
  header->nlmsg_type = RTM_NEWLINK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
  auto* message = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
  message->ifi_flags = IFF_UP;
  message->ifi_change = IFF_UP;
  mnl_attr_put_strz(header, IFLA_IFNAME, name_.c_str());
  nlattr* info = mnl_attr_nest_start(header, IFLA_LINKINFO);
  mnl_attr_put_strz(header, IFLA_INFO_KIND, "dummy");
  mnl_attr_nest_end(header, info);
  const absl::Status made = socket_->Query(*header, [](const nlmsghdr&) {});
  if (made.ok()) return made;
  return absl::Status(made.code(),
                      absl::StrCat("interface ", name_, " of type dummy (module dummy): ", made.message()));
}

absl::Status DummyInterface::Delete() {
  Request request;
  nlmsghdr* header = mnl_nlmsg_put_header(request.bytes);
  header->nlmsg_type = RTM_DELLINK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg));
  mnl_attr_put_strz(header, IFLA_IFNAME, name_.c_str());
  return socket_->Query(*header, [](const nlmsghdr&) {});
}

absl::StatusOr<bool> DummyInterface::SetAddresses(const std::set<IpAddress>& addresses) {
  int index = static_cast<int>(if_nametoindex(name_.c_str()));
  addresses_.clear();
  if (addresses.empty()) {
    if (index == 0) return false;
    if (const absl::Status gone = Delete(); !gone.ok()) return gone;
    return true;
  }
  bool changed = index == 0;
  // Creates it, or sees to it that it is up.
  if (const absl::Status made = Create(); !made.ok()) return made;
  if (index == 0) index = static_cast<int>(if_nametoindex(name_.c_str()));
  std::set<IpAddress> present, elsewhere;
  absl::Status read;
  for (int tries = 0; tries < kMostDumps; ++tries) {
    present.clear();
    elsewhere.clear();
    read = socket_->Dump(RTM_GETADDR, [&](const nlmsghdr& message) {
      if (const auto found = AddressOf(message))
        (found->first == index ? present : elsewhere).insert(found->second);
    });
    if (!absl::IsUnavailable(read)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (!read.ok()) return read;
  std::deque<Request> requests;
  for (const IpAddress& address : addresses) {
    if (!present.contains(address) && !elsewhere.contains(address))
      requests.push_back(AddressRequest(RTM_NEWADDR, index, address));
  }
  for (const IpAddress& address : present) {
    if (!addresses.contains(address)) requests.push_back(AddressRequest(RTM_DELADDR, index, address));
  }
  std::vector<nlmsghdr*> headers;
  for (Request& request : requests) headers.push_back(&request.header());
  const absl::StatusOr<std::vector<int>> answers = socket_->SendAll(headers);
  if (!answers.ok()) return answers.status();
  for (const int error : *answers) {
    if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("addresses of ", name_));
  }
  for (const IpAddress& address : addresses) {
    if (!elsewhere.contains(address)) addresses_.insert(address);
  }
  return changed || !requests.empty();
}

}  // namespace sluice
