// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace sluice {
namespace {

constexpr size_t kMostWrittenAtOnce = 1 << 20;  // bytes; then others have their turn
constexpr size_t kMostDiscarded = 1 << 20;

bool IsOnlyForNow() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

const char* Reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
  }
  return "Other";
}

std::string HeadOf(const HttpPage& page, bool keeps_alive) {
  return absl::StrCat(
      "HTTP/1.1 ", page.status, " ", Reason(page.status),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
      "\r\nContent-Type: ", page.type, "\r\nContent-Length: ", page.text.size(), "\r\n", page.headers,
      "Cache-Control: no-store\r\nConnection: ", keeps_alive ? "keep-alive" : "close", "\r\n\r\n");
}

}  // namespace

HttpConnection::HttpConnection(int socket, const Deadlines& deadlines, Clock::time_point now)
    : socket_(socket), deadlines_(deadlines) {
  Enter(Phase::kAsking, now, deadlines_.request);
}

HttpConnection::~HttpConnection() { close(socket_); }

bool HttpConnection::Go(Clock::time_point now, const FindPage& find_page) {
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kAsking: return Read(now, find_page);
    case Phase::kTaking: return Write(now);
    case Phase::kLeaving: return Discard();
  }
  return false;
}

uint32_t HttpConnection::Events() const { return phase_ == Phase::kTaking ? EPOLLOUT : EPOLLIN; }

int HttpConnection::TakeStatus() { return std::exchange(status_, 0); }

// What follows a request stays in the kernel until the request is answered, so nobody is served ahead of
// others, and buffers are bounded.
bool HttpConnection::Read(Clock::time_point now, const FindPage& find_page) {
  std::array<char, kLongestHttpRequest> bytes;
  const size_t had = input_.size();
  const ssize_t got = recv(socket_, bytes.data(), bytes.size() - had, MSG_PEEK);
  if (got < 0) return IsOnlyForNow();
  if (got == 0) return false;
  if (phase_ == Phase::kIdle) Enter(Phase::kAsking, now, deadlines_.request);
  input_.append(bytes.data(), static_cast<size_t>(got));
  const std::optional<HttpRequest> request = ReadHttpRequest(input_);
  const size_t taken = request ? request->size - had : static_cast<size_t>(got);
  if (recv(socket_, bytes.data(), taken, 0) != static_cast<ssize_t>(taken)) return false;
  if (!request) return true;
  input_.clear();
  std::shared_ptr<const HttpPage> page;
  if (request->refusal == 0) {
    page = find_page(request->path);
    if (page == nullptr) return false;
  } else {
    page = std::make_shared<HttpPage>(
        HttpPage{.status = request->refusal,
                 .text = absl::StrCat(request->why, "\n"),
                 .headers = request->refusal == 405 ? "Allow: GET, HEAD\r\n" : ""});
  }
  Answer(*request, std::move(page), now);
  return true;
}

void HttpConnection::Answer(const HttpRequest& request, std::shared_ptr<const HttpPage> page,
                            Clock::time_point now) {
  Enter(Phase::kTaking, now, deadlines_.answer);
  keeps_alive_ = request.keeps_alive;
  status_ = page->status;
  head_ = HeadOf(*page, keeps_alive_);
  written_ = 0;
  if (!request.is_head) page_ = std::move(page);
}

bool HttpConnection::Write(Clock::time_point now) {
  const size_t size = head_.size() + held_bytes();
  const size_t stop = std::min(size, written_ + kMostWrittenAtOnce);
  while (written_ < stop) {
    std::array<iovec, 2> parts{};
    size_t count = 0;
    if (written_ < head_.size()) parts[count++] = {head_.data() + written_, head_.size() - written_};
    const size_t of_page = written_ - std::min(written_, head_.size());
    // iovec knows no const.
    if (size > head_.size())
      parts[count++] = {const_cast<char*>(page_->text.data()) + of_page, page_->text.size() - of_page};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (sent < 0) return IsOnlyForNow();
    written_ += static_cast<size_t>(sent);
  }
  if (written_ < size) return true;
  page_.reset();
  if (keeps_alive_) {
    Enter(Phase::kIdle, now, deadlines_.idle);
  } else {
    // Closed with bytes unread, a socket resets, and the client may lose its answer.
    shutdown(socket_, SHUT_WR);
    Enter(Phase::kLeaving, now, deadlines_.farewell);
  }
  return true;
}

bool HttpConnection::Discard() {
  std::array<char, kLongestHttpRequest> bytes;
  const ssize_t got = recv(socket_, bytes.data(), bytes.size(), 0);
  if (got < 0) return IsOnlyForNow();
  discarded_ += static_cast<size_t>(got);
  return got > 0 && discarded_ < kMostDiscarded;
}

void HttpConnection::Enter(Phase phase, Clock::time_point now, std::chrono::milliseconds time) {
  phase_ = phase;
  since_ = now;
  deadline_ = now + time;
}

}  // namespace sluice
