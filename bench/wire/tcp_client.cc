// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/tcp_client.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "bench/wire/flows.h"
#include "bench/wire/pace.h"
#include "bench/wire/sockets.h"

namespace sluice {
namespace {

constexpr uint64_t kPatience = 1'000'000'000;

class TcpClient {
 public:
  explicit TcpClient(const WireOptions& options)
      : options_(options),
        to_(options.target.address, options.target.port),
        flows_(options.first_source, options.sources) {}
  ~TcpClient() {
    for (const Attempt& attempt : attempts_) {
      if (attempt.socket >= 0) close(attempt.socket);
    }
    if (poll_ >= 0) close(poll_);
  }
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;

  absl::StatusOr<Report> Run() {
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_ < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
    Pace pace(options_.rate);
    const uint64_t begin = WireNanoseconds();
    const auto end = begin + static_cast<uint64_t>(options_.seconds * 1e9);
    uint64_t told = begin;
    for (uint64_t now = begin; now < end; now = WireNanoseconds()) {
      for (int due = pace.Due(static_cast<int>(options_.concurrency - open_)); due > 0; --due) {
        if (const absl::Status begun = Begin(); !begun.ok()) return begun;
      }
      Collect();
      GiveUpOld(WireNanoseconds());
      if (now - told < 1'000'000'000) continue;
      told = now;
      ShowProgress(double(now - begin) / 1e9, connected_, refused_ + timed_out_ + failed_);
    }
    const double seconds = double(WireNanoseconds() - begin) / 1e9;
    EndProgress();
    Report report;
    report.Add("seconds", seconds);
    report.Add("connected", connected_);
    report.Add("connected_a_second", double(connected_) / seconds);
    report.Add("refused", refused_);
    report.Add("timed_out", timed_out_);
    report.Add("failed", failed_);
    report.AddLatency(latency_);
    return report;
  }

 private:
  struct Attempt {
    int socket = -1;  // -1: over
    uint64_t begun = 0;
  };

  absl::Status Begin() {
    const int one = socket(to_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
    // Closed by a reset: nothing of it stays behind, and its port is free again.
    const linger reset = {1, 0};
    setsockopt(one, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (!options_.first_source.IsUnspecified()) {
      const int later = 1;
      setsockopt(one, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &later, sizeof later);
      const SocketAddress from(flows_.SourceOf(next_++), Be16{});
      if (bind(one, from.get(), from.length) != 0) {
        const absl::Status failed = absl::ErrnoToStatus(errno, "--from: not this host's addresses?");
        close(one);
        return failed;
      }
    }
    const uint64_t now = WireNanoseconds();
    if (connect(one, to_.get(), to_.length) != 0 && errno != EINPROGRESS) {
      ++failed_;
      close(one);
      return absl::OkStatus();
    }
    const uint64_t number = first_ + attempts_.size();
    attempts_.push_back({one, now});
    ++open_;
    epoll_event wanted = {.events = EPOLLOUT, .data = {.u64 = number}};
    epoll_ctl(poll_, EPOLL_CTL_ADD, one, &wanted);
    return absl::OkStatus();
  }

  void Collect() {
    constexpr int kAtOnce = 64;
    epoll_event ready[kAtOnce];
    const int count = epoll_wait(poll_, ready, kAtOnce, open_ == 0 ? 0 : 1);
    const uint64_t now = WireNanoseconds();
    for (int i = 0; i < count; ++i) {
      Attempt& attempt = attempts_[ready[i].data.u64 - first_];
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(attempt.socket, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error == 0) {
        ++connected_;
        latency_.Add(now - attempt.begun);
      } else if (error == ECONNREFUSED) {
        ++refused_;
      } else {
        ++failed_;
      }
      End(attempt);
    }
  }

  void End(Attempt& attempt) {
    close(attempt.socket);
    attempt.socket = -1;
    --open_;
  }

  // They began in the order in which they stand.
  void GiveUpOld(uint64_t now) {
    while (!attempts_.empty()) {
      Attempt& oldest = attempts_.front();
      if (oldest.socket >= 0) {
        if (now - oldest.begun < kPatience) return;
        ++timed_out_;
        End(oldest);
      }
      attempts_.pop_front();
      ++first_;
    }
  }

  const WireOptions& options_;
  const SocketAddress to_;
  const WireFlows flows_;
  int poll_ = -1;
  std::deque<Attempt> attempts_;
  uint64_t first_ = 0;  // the number of the first of them
  uint64_t next_ = 0;
  uint32_t open_ = 0;
  uint64_t connected_ = 0, refused_ = 0, timed_out_ = 0, failed_ = 0;
  Histogram latency_;
};

}  // namespace

absl::StatusOr<Report> RunTcpClient(const WireOptions& options) { return TcpClient(options).Run(); }

}  // namespace sluice
