// TCP connections that live long and check every byte, and short ones beside them: who stands between client
// and server may change, and nobody may notice.
//   streams server ADDRESS:PORT...       echoes TCP, and UDP with a byte that tells which endpoint it is, until killed
//   streams client ADDRESS:PORT STREAMS NEW_PER_SECOND FILE
//       until SIGTERM; then one line goes to FILE:
//       streams N blocks N reset N wrong N longest_ms N new N failed N slowest_new_ms N fewest_blocks N
//   A file FILE.now with the same is written ten times a second, so that somebody can wait for it. `fewest_blocks`: of
//   the long stream that has the fewest.
//   udp:ADDRESS:PORT: datagrams; who gets no answer sends the same once more; another server's is wrong.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBlock = 512;
constexpr uint32_t kLateBlocks = 100;
constexpr auto kPatience = std::chrono::seconds(30);  // of a short connection
constexpr long kDatagramPatienceMs = 200;

volatile sig_atomic_t g_stop = 0;

// Where a server is.
struct Place {
  sockaddr_storage address{};
  socklen_t size = 0;
  bool is_udp = false;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  int NewSocket(int type) const { return socket(address.ss_family, type, 0); }
};

Place Parse(std::string text) {
  Place place;
  place.is_udp = text.starts_with("udp:");
  if (place.is_udp) text.erase(0, 4);
  const size_t colon = text.rfind(':');
  const std::string address = text.substr(0, colon);
  auto& v4 = reinterpret_cast<sockaddr_in&>(place.address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(place.address);
  const uint16_t port =
      colon == std::string::npos ? 0 : htons(static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1)));
  if (address.starts_with('[') &&
      inet_pton(AF_INET6, address.substr(1, address.size() - 2).c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    place.size = sizeof v6;
  } else if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    place.size = sizeof v4;
  }
  if (place.size != 0 && port != 0) return place;
  std::fprintf(stderr, "streams: %s: must be [udp:]ADDRESS:PORT\n", text.c_str());
  std::exit(2);
}

int Serve(int count, char** endpoints) {
  const int events = epoll_create1(0);
  enum class Kind { kListener, kDatagrams };
  struct Socket {
    Kind kind;
    char number;  // of the endpoint
  };
  std::map<int, Socket> sockets;  // that are no connections
  const auto add = [&](int fd) {
    epoll_event wanted{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(events, EPOLL_CTL_ADD, fd, &wanted);
  };
  for (int i = 0; i < count; ++i) {
    const Place place = Parse(endpoints[i]);
    for (const Kind kind : {Kind::kListener, Kind::kDatagrams}) {
      const int fd = place.NewSocket(kind == Kind::kListener ? SOCK_STREAM : SOCK_DGRAM);
      const int on = 1;
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (bind(fd, place.get(), place.size) != 0 || (kind == Kind::kListener && listen(fd, 4096) != 0))
        return std::perror(endpoints[i]), 1;
      sockets[fd] = {kind, static_cast<char>(i)};
      add(fd);
    }
  }
  for (;;) {
    epoll_event ready[64];
    const int count_ready = epoll_wait(events, ready, 64, -1);
    for (int i = 0; i < count_ready; ++i) {
      const int fd = ready[i].data.fd;
      char bytes[16384];
      if (const auto known = sockets.find(fd); known != sockets.end()) {
        if (known->second.kind == Kind::kListener) {
          add(accept(fd, nullptr, nullptr));
          continue;
        }
        sockaddr_storage from;
        socklen_t size = sizeof from;
        const ssize_t got =
            recvfrom(fd, bytes, sizeof bytes - 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
        if (got <= 0) continue;
        bytes[got] = known->second.number;
        sendto(fd, bytes, static_cast<size_t>(got) + 1, 0, reinterpret_cast<sockaddr*>(&from), size);
        continue;
      }
      const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0 && send(fd, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) == got) continue;
      close(fd);
    }
  }
}

struct Figures {
  long blocks = 0, reset = 0, wrong = 0, longest_ms = 0, fresh = 0, failed = 0, slowest_new_ms = 0;

  void Write(const std::string& path, size_t streams, uint32_t fewest_blocks) const {
    const std::string next = path + ".part";
    FILE* file = std::fopen(next.c_str(), "w");
    if (file == nullptr) return;
    std::fprintf(
        file,
        "streams %zu blocks %ld reset %ld wrong %ld longest_ms %ld new %ld failed %ld slowest_new_ms %ld "
        "fewest_blocks %u\n",
        streams, blocks, reset, wrong, longest_ms, fresh, failed, slowest_new_ms, fewest_blocks);
    std::fclose(file);
    std::rename(next.c_str(), path.c_str());
  }
};

long Since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
}

// One connection: sends a block of a pattern of its own, waits for its echo, and so on; a short one once.
class Stream {
 public:
  Stream(const Place& server, uint32_t number, bool is_short, Clock::duration every)
      : number_(number), is_short_(is_short), is_udp_(server.is_udp), every_(every) {
    fd_ = server.NewSocket((is_udp_ ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd_, server.get(), server.size) != 0 && errno != EINPROGRESS) over_ = true;
  }
  ~Stream() { close(fd_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  pollfd Wanted() const { return {fd_, static_cast<short>(connected_ ? POLLIN : POLLOUT), 0}; }
  bool over() const { return over_; }
  bool connected() const { return connected_; }
  uint32_t blocks() const { return block_; }

  void Do(short ready, Figures& figures) {
    if (over_) return;
    if (!connected_ && (ready & (POLLOUT | POLLERR | POLLHUP))) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
      errno = error;
      if (error != 0) return Fail(figures);
      connected_ = true;
    }
    if (connected_ && (ready & (POLLIN | POLLERR | POLLHUP))) Receive(figures);
    if (over_) return;
    if (connected_ && !waiting_ && Clock::now() >= next_) {
      sent_ = tried_ = Clock::now();
      Send(figures);
    } else if (waiting_ && is_udp_ && Since(tried_) > kDatagramPatienceMs) {
      tried_ = Clock::now();
      Send(figures);
    }
    const long waited = is_short_ ? Since(begun_) : waiting_ ? Since(sent_) : 0;
    errno = ETIMEDOUT;
    if (is_short_ && Clock::now() - begun_ > kPatience) return Fail(figures);
    if (!is_short_ && waited > figures.longest_ms) figures.longest_ms = waited;
  }

 private:
  char ByteAt(int i, uint32_t blocks_ago = 0) const {
    return static_cast<char>(number_ * 31 + (block_ - blocks_ago) * 7 + static_cast<uint32_t>(i));
  }

  // One more answer to a block that was sent more than once; datagrams may overtake each other.
  bool IsLate(const char* bytes, ssize_t size) const {
    if (size != kBlock) return false;
    for (uint32_t ago = 1; ago <= std::min(block_, kLateBlocks); ++ago) {
      int same = 0;
      while (same < kBlock && bytes[same] == ByteAt(same, ago)) ++same;
      if (same == kBlock) return true;
    }
    return false;
  }
  void Fail(Figures& figures) {
    over_ = true;
    ++(is_short_ ? figures.failed : figures.reset);
    std::fprintf(stderr, "streams: %s %u: %s, block %u\n", is_short_ ? "short" : "long", number_,
                 errno != 0 ? std::strerror(errno) : "ended", block_);
  }
  void Wrong(Figures& figures, const char* what) {
    over_ = true;
    ++figures.wrong;
    std::fprintf(stderr, "streams: %u: block %u, byte %d is %s\n", number_, block_, got_, what);
  }
  void Send(Figures& figures) {
    char bytes[kBlock];
    for (int i = 0; i < kBlock; ++i) bytes[i] = ByteAt(i);
    if (send(fd_, bytes, kBlock, MSG_NOSIGNAL) != kBlock) return Fail(figures);
    waiting_ = true;
    got_ = 0;
  }
  void Receive(Figures& figures) {
    char bytes[4096];
    ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got == 0) errno = 0;
    if (got <= 0) return Fail(figures);
    if (is_udp_) {
      --got;
      if (server_ < 0) server_ = bytes[got];
      if (server_ != bytes[got]) return Wrong(figures, "of another server");
      if (IsLate(bytes, got)) return;
    }
    for (ssize_t i = 0; i < got; ++i) {
      if (!waiting_ || got_ == kBlock || bytes[i] != ByteAt(got_)) return Wrong(figures, "not what was sent");
      ++got_;
    }
    if (got_ < kBlock) return;
    waiting_ = false;
    ++block_;
    ++figures.blocks;
    next_ = sent_ + every_;
    if (!is_short_) return;
    over_ = true;
    ++figures.fresh;
    figures.slowest_new_ms = std::max(figures.slowest_new_ms, Since(begun_));
  }

  const uint32_t number_;
  const bool is_short_;
  const bool is_udp_;
  const Clock::duration every_;  // a block
  int fd_;
  bool connected_ = false;
  bool over_ = false;
  bool waiting_ = false;
  int got_ = 0;
  int server_ = -1;  // that answered the first datagram
  uint32_t block_ = 0;
  Clock::time_point begun_ = Clock::now();
  Clock::time_point sent_{};
  Clock::time_point tried_{};
  Clock::time_point next_{};
};

int RunClient(const Place& server, size_t count, int fresh_per_second, const std::string& path) {
  signal(SIGTERM, [](int) { g_stop = 1; });
  Figures figures;
  // Less in all than an emulated machine can do, or else all that happens beside it takes many times as long.
  const Clock::duration every = std::chrono::milliseconds(std::max<size_t>(100, count));
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Stream>> shorts;
  uint32_t number = 0;
  const Clock::time_point begin = Clock::now();
  Clock::time_point told = begin;
  long opened = 0;
  const auto tell = [&](const std::string& file) {
    size_t alive = 0;
    uint32_t fewest = streams.empty() ? 0 : UINT32_MAX;
    for (const auto& each : streams) {
      alive += each->connected() && !each->over();
      fewest = std::min(fewest, each->blocks());
    }
    figures.Write(file, alive, fewest);
  };
  while (g_stop == 0) {
    // A few at a time, so that nobody's backlog overflows.
    for (int i = 0; i < 8 && streams.size() < count; ++i)
      streams.push_back(std::make_unique<Stream>(server, ++number, false, every));
    if (streams.size() == count && Since(begin) * fresh_per_second / 1000 > opened) {
      opened = Since(begin) * fresh_per_second / 1000;
      shorts.push_back(std::make_unique<Stream>(server, ++number, true, every));
    }
    std::vector<pollfd> polled;
    for (const auto& each : streams) polled.push_back(each->Wanted());
    for (const auto& each : shorts) polled.push_back(each->Wanted());
    for (size_t i = 0; i < streams.size(); ++i) {
      if (streams[i]->over()) polled[i].fd = -1;
    }
    poll(polled.data(), polled.size(), 5);
    for (size_t i = 0; i < streams.size(); ++i) streams[i]->Do(polled[i].revents, figures);
    for (size_t i = 0; i < shorts.size(); ++i) shorts[i]->Do(polled[streams.size() + i].revents, figures);
    std::erase_if(shorts, [](const auto& each) { return each->over(); });
    if (Since(told) < 100) continue;
    told = Clock::now();
    tell(path + ".now");
  }
  tell(path);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc > 2 && std::strcmp(argv[1], "server") == 0) return Serve(argc - 2, argv + 2);
  if (argc == 6 && std::strcmp(argv[1], "client") == 0)
    return RunClient(Parse(argv[2]), static_cast<size_t>(std::atoi(argv[3])), std::atoi(argv[4]), argv[5]);
  std::fprintf(
      stderr,
      "streams server ADDRESS:PORT... | streams client [udp:]ADDRESS:PORT STREAMS NEW_PER_SECOND FILE\n");
  return 2;
}
