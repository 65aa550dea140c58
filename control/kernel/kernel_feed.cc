// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/kernel_feed.h"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kGroups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                             RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH | 1u << (RTNLGRP_NEXTHOP - 1);
// Changes come in crowds; what follows this closely is handed on together.
constexpr auto kGathering = 2ms;
constexpr auto kConfirmEvery = 1s;
constexpr auto kRetryEvery = 100ms;
// Reading tables takes at most one part in so many of the thread's time, however fast they change.
constexpr int kShareOfReading = 4;
// Addresses looked at and questions asked in one round.
constexpr int kAddressesPerRound = 20'000;
constexpr int kQuestionsPerRound = 1'000;

}  // namespace

absl::StatusOr<std::unique_ptr<KernelFeed>> KernelFeed::Start(
    const std::map<int, uint16_t>& port_of_interface, Receiver receive) {
  std::unique_ptr<KernelFeed> feed(new KernelFeed());
  feed->port_of_interface_ = port_of_interface;
  feed->receive_ = std::move(receive);
  absl::StatusOr<std::unique_ptr<NetlinkSocket>> notifications = NetlinkSocket::Open(kGroups);
  if (!notifications.ok()) return notifications.status();
  absl::StatusOr<std::unique_ptr<NetlinkSocket>> requests = NetlinkSocket::Open(0);
  if (!requests.ok()) return requests.status();
  feed->notifications_ = *std::move(notifications);
  feed->requests_ = *std::move(requests);
  feed->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (feed->wake_fd_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
  if (const absl::Status read = feed->ReadAll(); !read.ok()) {
    return absl::Status(read.code(), absl::StrCat("the kernel's routes cannot be read: ", read.message()));
  }
  feed->HandOn();
  feed->thread_ = std::thread([raw = feed.get()] { raw->Run(); });
  return feed;
}

KernelFeed::~KernelFeed() {
  stop_.store(true);
  if (thread_.joinable()) {
    Wake();
    thread_.join();
  }
  if (wake_fd_ >= 0) close(wake_fd_);
}

void KernelFeed::KeepResolved(const std::map<IpAddress, bool>& changes) {
  const MutexLock lock(mutex_);
  for (const auto& [address, present] : changes) {
    if (present) {
      keep_resolved_.insert(address);
    } else {
      keep_resolved_.erase(address);
    }
  }
  Wake();
}

void KernelFeed::SetPorts(const std::map<int, uint16_t>& port_of_interface) {
  const MutexLock lock(mutex_);
  new_ports_ = port_of_interface;
  Wake();
}

void KernelFeed::TakePorts() {
  const MutexLock lock(mutex_);
  if (!new_ports_) return;
  changed_ |= *new_ports_ != port_of_interface_;
  port_of_interface_ = *std::move(new_ports_);
  new_ports_.reset();
}

void KernelFeed::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void KernelFeed::Run() {
  Clock::time_point next_confirmation = Clock::now();
  Clock::time_point hand_on_at = Clock::time_point::max();
  while (!stop_.load()) {
    const bool is_in_doubt = everything_in_doubt_ || routes_in_doubt_;
    const Clock::time_point next =
        std::min({next_confirmation, hand_on_at, is_in_doubt ? read_after_ : hand_on_at});
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
    pollfd polled[] = {{notifications_->fd(), POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    poll(polled, 2, static_cast<int>(std::max<int64_t>(wait.count(), 0)));
    if (polled[1].revents != 0) {
      uint64_t times;
      [[maybe_unused]] const ssize_t got = read(wake_fd_, &times, sizeof times);
      next_confirmation = Clock::now();
    }
    TakePorts();
    Follow();
    const Clock::time_point now = Clock::now();
    if (changed_ && hand_on_at == Clock::time_point::max()) hand_on_at = now + kGathering;
    if (now >= hand_on_at) {
      HandOn();
      hand_on_at = Clock::time_point::max();
    }
    if (now >= next_confirmation) {
      ConfirmNeighbours();
      next_confirmation = now + kConfirmEvery;
    }
  }
}

// A table that cannot be read completely stays in doubt and is read again in the next round.
void KernelFeed::Follow() {
  const absl::Status received = notifications_->ReceivePending([this](const nlmsghdr& message) {
    const KernelChange change = state_.Apply(message);
    changed_ |= change.any;
    routes_in_doubt_ |= change.routes_in_doubt;
  });
  if (!received.ok()) everything_in_doubt_ = true;
  const Clock::time_point begin = Clock::now();
  if ((!everything_in_doubt_ && !routes_in_doubt_) || begin < read_after_) return;
  if (everything_in_doubt_) {
    everything_in_doubt_ = routes_in_doubt_ = !ReadAll().ok();
  } else {
    routes_in_doubt_ = !ReadTable(RTM_GETROUTE).ok();
  }
  changed_ = true;
  const Clock::time_point end = Clock::now();
  const bool has_failed = everything_in_doubt_ || routes_in_doubt_;
  read_after_ = end + (has_failed ? Clock::duration(kRetryEvery) : (kShareOfReading - 1) * (end - begin));
}

absl::Status KernelFeed::ReadAll() {
  for (const uint16_t type : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH}) {
    if (const absl::Status read = ReadTable(type); !read.ok()) return read;
  }
  return absl::OkStatus();
}

absl::Status KernelFeed::ReadTable(uint16_t type) {
  absl::Status read;
  for (int tries = 0; tries < 5; ++tries) {
    state_.Forget(type);
    read = requests_->Dump(type, [this](const nlmsghdr& message) { state_.Apply(message); });
    if (!absl::IsUnavailable(read)) break;
  }
  return read;
}

void KernelFeed::HandOn() {
  changed_ = false;
  if (routes_in_doubt_ || everything_in_doubt_) return;  // half a table is worse than yesterday's
  const ForwardingSpec spec = state_.Spec(port_of_interface_);
  forwarding_ = builder_.Build(spec);
  our_interfaces_.clear();
  for (const auto& [index, link] : spec.links) {
    if (link.port != kNoPort) our_interfaces_.insert(index);
  }
  gateways_.clear();
  for (const RouteSpec& route : spec.routes) {
    for (const RouteLeg& leg : route.legs) {
      if (leg.gateway) gateways_.emplace(leg.interface, *leg.gateway);
    }
  }
  route_count_.store(spec.routes.size(), std::memory_order_relaxed);
  neighbour_count_.store(spec.neighbours.size(), std::memory_order_relaxed);
  receive_(forwarding_);
}

void KernelFeed::ConfirmNeighbours() {
  std::set<KernelState::NeighbourName> needed = gateways_;
  {
    const MutexLock lock(mutex_);
    auto address = keep_resolved_.upper_bound(confirm_after_);
    for (int i = 0; i < kAddressesPerRound && i < static_cast<int>(keep_resolved_.size()); ++i, ++address) {
      if (address == keep_resolved_.end()) address = keep_resolved_.begin();
      for (const Forwarding::Neighbour& neighbour : forwarding_->NeighboursTowards(*address))
        needed.emplace(neighbour.interface, neighbour.address);
      confirm_after_ = *address;
    }
  }
  int questions = 0;
  for (const KernelState::NeighbourName& name : needed) {
    if (!our_interfaces_.contains(name.first)) continue;
    const KernelState::Neighbour* known = state_.FindNeighbour(name);
    if (known != nullptr && known->usable && known->confirmed) continue;
    if (++questions > kQuestionsPerRound) break;
    Confirm(name);
  }
}

// To the kernel it is as if it had a packet for the neighbour.
void KernelFeed::Confirm(const KernelState::NeighbourName& name) {
  alignas(nlmsghdr) char buffer[256] = {};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_NEWNEIGH;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
  header->ndm_family = name.second.IsV4() ? AF_INET : AF_INET6;
  header->ndm_ifindex = name.first;
  header->ndm_state = NUD_NONE;
  header->ndm_flags = NTF_USE;
  const size_t unused_bytes = name.second.IsV4() ? 12 : 0;
  mnl_attr_put(request, NDA_DST, 16 - unused_bytes, name.second.bytes.data() + unused_bytes);
  requests_->Send(*request).IgnoreError();  // it is asked again in a second
}

}  // namespace sluice
