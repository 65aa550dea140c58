// SPDX-License-Identifier: Apache-2.0
#include "control/kernel/netlink_socket.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;
// Thousands of neighbours may change at once.
constexpr int kReceiveBufferBytes = 4 * 1024 * 1024;

// Every kind of table has a header of its own in front of its requests; in all of them zero means everything.
size_t HeaderBytesOf(uint16_t dump) {
  switch (dump) {
    case RTM_GETLINK: return sizeof(ifinfomsg);
    case RTM_GETADDR: return sizeof(ifaddrmsg);
    case RTM_GETNEIGH: return sizeof(ndmsg);
    default: return sizeof(rtmsg);
  }
}

}  // namespace

NetlinkSocket::NetlinkSocket() : buffer_(kBufferBytes) {}

NetlinkSocket::~NetlinkSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

absl::StatusOr<std::unique_ptr<NetlinkSocket>> NetlinkSocket::Open(unsigned groups, int protocol) {
  std::unique_ptr<NetlinkSocket> result(new NetlinkSocket());
  result->socket_ = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (result->socket_ == nullptr) return absl::ErrnoToStatus(errno, "no netlink socket");
  setsockopt(result->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  // A request that is not as the kernel wants it is refused, where it would only be logged. Linux 4.20.
  const int strict = 1;
  setsockopt(result->fd(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof strict);
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
  mnl_nlmsg_put_extra_header(header, HeaderBytesOf(type));
  return Query(*header, receive);
}

absl::Status NetlinkSocket::Query(nlmsghdr& request, const Receiver& receive) {
  request.nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, &request, request.nlmsg_len) < 0)
    return absl::ErrnoToStatus(errno, "netlink request");
  return ReceiveAnswers(receive);
}

// Up to the end of a dump, or the acknowledgement.
absl::Status NetlinkSocket::ReceiveAnswers(const Receiver& receive) {
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
        const int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(-error, "netlink answer");
      }
      receive(*message);
    }
  }
}

absl::StatusOr<std::vector<int>> NetlinkSocket::SendAll(const std::vector<nlmsghdr*>& requests) {
  constexpr size_t kAtOnce = 200;  // whose acknowledgements fit into the receive buffer
  std::vector<int> results(requests.size());
  for (size_t first = 0; first < requests.size(); first += kAtOnce) {
    const size_t count = std::min(kAtOnce, requests.size() - first);
    const uint32_t first_sequence = sequence_ + 1;
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < count; ++i) {
      nlmsghdr& request = *requests[first + i];
      request.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
      request.nlmsg_seq = ++sequence_;
      const auto* begin = reinterpret_cast<const std::byte*>(&request);
      bytes.insert(bytes.end(), begin, begin + request.nlmsg_len);
    }
    if (mnl_socket_sendto(socket_, bytes.data(), bytes.size()) < 0)
      return absl::ErrnoToStatus(errno, "netlink requests");
    for (size_t answered = 0; answered < count;) {
      const ssize_t received = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
      if (received < 0) return absl::ErrnoToStatus(errno, "netlink answers");
      int rest = static_cast<int>(received);
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(message, rest);
           message = mnl_nlmsg_next(message, &rest)) {
        const uint32_t at = message->nlmsg_seq - first_sequence;
        if (message->nlmsg_type != NLMSG_ERROR || at >= count ||
            mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr))
          continue;
        results[first + at] = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        ++answered;
      }
    }
  }
  return results;
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
