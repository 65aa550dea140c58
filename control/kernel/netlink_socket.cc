// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/netlink_socket.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;
// Thousands of neighbours may change at once.
constexpr int kReceiveBufferBytes = 4 * 1024 * 1024;

}  // namespace

NetlinkSocket::NetlinkSocket() : buffer_(kBufferBytes) {}

NetlinkSocket::~NetlinkSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

absl::StatusOr<std::unique_ptr<NetlinkSocket>> NetlinkSocket::Open(unsigned groups) {
  std::unique_ptr<NetlinkSocket> result(new NetlinkSocket());
  result->socket_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (result->socket_ == nullptr) return absl::ErrnoToStatus(errno, "no netlink socket");
  setsockopt(result->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  if (mnl_socket_bind(result->socket_, groups, MNL_SOCKET_AUTOPID) != 0)
    return absl::ErrnoToStatus(errno, "netlink socket");
  return result;
}

int NetlinkSocket::fd() const { return mnl_socket_get_fd(socket_); }

absl::Status NetlinkSocket::Dump(uint16_t type, const Receiver& receive) {
  alignas(nlmsghdr) char request[256] = {};
  nlmsghdr* header = mnl_nlmsg_put_header(request);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = ++sequence_;
  // Every kind of dump request may begin with this; the family is unspecified.
  mnl_nlmsg_put_extra_header(header, sizeof(rtmsg));
  if (mnl_socket_sendto(socket_, header, header->nlmsg_len) < 0)
    return absl::ErrnoToStatus(errno, "netlink request");
  while (true) {
    const ssize_t received = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (received < 0) return absl::ErrnoToStatus(errno, "netlink answer");
    int rest = static_cast<int>(received);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(message, rest);
         message = mnl_nlmsg_next(message, &rest)) {
      if (message->nlmsg_seq != sequence_) continue;
      if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        return absl::UnavailableError("the table changed while it was read");
      if (message->nlmsg_type == NLMSG_DONE) return absl::OkStatus();
      if (message->nlmsg_type == NLMSG_ERROR) {
        if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr))
          return absl::InternalError("netlink: a truncated error");
        return absl::ErrnoToStatus(-static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error,
                                   "netlink answer");
      }
      receive(*message);
    }
  }
}

absl::Status NetlinkSocket::Send(const nlmsghdr& request) {
  if (mnl_socket_sendto(socket_, &request, request.nlmsg_len) < 0)
    return absl::ErrnoToStatus(errno, "netlink request");
  return absl::OkStatus();
}

absl::Status NetlinkSocket::ReceivePending(const Receiver& receive) {
  while (true) {
    const ssize_t received = recv(fd(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return absl::OkStatus();
    if (received < 0 && errno == ENOBUFS) return absl::DataLossError("netlink notifications were lost");
    if (received < 0) return absl::ErrnoToStatus(errno, "netlink notifications");
    int rest = static_cast<int>(received);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(message, rest);
         message = mnl_nlmsg_next(message, &rest)) {
      receive(*message);
    }
  }
}

}  // namespace sluice
