// Connections are bounded, of all and of each peer; nothing that peers do ends the listening.
#include "control/listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>

#include "absl/cleanup/cleanup.h"
#include "control/listening_socket.h"

namespace sluice {
namespace {

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() {
    char name[] = "/tmp/listener_test.XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/socket";
  }
  ~ListenerTest() override {
    listener_.reset();
    for (const int fd : handed_) close(fd);
    for (const int fd : clients_) close(fd);
    std::filesystem::remove_all(folder_);
  }

  void Listen(const Listener::Limits& limits) {
    const absl::StatusOr<int> socket = ListenOnUnix(path_);
    ASSERT_TRUE(socket.ok()) << socket.status();
    listener_ = std::make_unique<Listener>(
        std::vector<int>{*socket}, limits,
        Listener::Renewal{.path = path_, .listen = [this] { return ListenOnUnix(path_); }}, counts_,
        [this](int, int connection) {
          const std::lock_guard lock(mutex_);
          handed_.push_back(connection);
        });
  }
  // The descriptor, or -1.
  int Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      clients_.push_back(fd);
      return fd;
    }
    close(fd);
    return -1;
  }
  static bool Soon(const std::function<bool()>& claim) {
    for (int i = 0; i < 3000 && !claim(); ++i) usleep(10'000);
    return claim();
  }
  size_t Handed() {
    const std::lock_guard lock(mutex_);
    return handed_.size();
  }
  static bool HasEnded(int fd) {
    pollfd watched = {.fd = fd, .events = POLLRDHUP, .revents = 0};
    return poll(&watched, 1, 0) > 0;
  }

  std::string folder_;
  std::string path_;
  std::mutex mutex_;
  std::vector<int> handed_;
  std::vector<int> clients_;
  ConnectionCounts counts_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, APeerHasNoMoreThanItsShareAndGetsItAgain) {
  Listen({.connections = 10, .of_a_peer = 3});
  for (int i = 0; i < 8; ++i) Connect();
  ASSERT_TRUE(Soon([&] { return counts_.refused == 5; }));
  EXPECT_EQ(counts_.open, 3u);
  EXPECT_EQ(Handed(), 3u);
  EXPECT_TRUE(HasEnded(clients_[7])) << "who is refused is told";
  EXPECT_FALSE(HasEnded(clients_[0]));
  close(clients_[0]);
  clients_.erase(clients_.begin());
  ASSERT_TRUE(Soon([&] { return counts_.open == 2; }));
  Connect();
  EXPECT_TRUE(Soon([&] { return counts_.open == 3; }));
}

TEST_F(ListenerTest, AllPeersTogetherHaveABound) {
  Listen({.connections = 2, .of_a_peer = 3});
  for (int i = 0; i < 3; ++i) Connect();
  EXPECT_TRUE(Soon([&] { return counts_.refused == 1; }));
  EXPECT_EQ(counts_.open, 2u);
}

TEST_F(ListenerTest, ItGoesOnWhenDescriptorsHaveRunOut) {
  Listen({});
  Connect();
  ASSERT_TRUE(Soon([&] { return Handed() == 1; }));
  std::vector<int> fillers, pending;
  sockaddr_un address{};
  for (int i = 0; i < 3; ++i) pending.push_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit before = limit;
  limit.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const absl::Cleanup restore = [&] { setrlimit(RLIMIT_NOFILE, &before); };
  for (int fd = 0; (fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0;) fillers.push_back(fd);
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  for (const int fd : pending) {
    ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_TRUE(Soon([&] { return HasEnded(fd); })) << "who cannot be served is told";
  }
  EXPECT_GE(counts_.refused, 3u);
  for (const int fd : fillers) close(fd);
  for (const int fd : pending) close(fd);
  Connect();
  EXPECT_TRUE(Soon([&] { return Handed() == 2; })) << "there are descriptors again";
}

TEST_F(ListenerTest, WhoDoesNotReadIsCut) {
  Listen({.silence = std::chrono::seconds(1)});
  const int stopped = Connect();
  const int idle = Connect();
  ASSERT_TRUE(Soon([&] { return Handed() == 2; }));
  ASSERT_EQ(write(handed_[0], "news", 4), 4);
  EXPECT_TRUE(Soon([&] { return counts_.stalled == 1; }));
  EXPECT_TRUE(Soon([&] { return HasEnded(stopped); }));
  EXPECT_FALSE(HasEnded(idle)) << "nothing was there for it to read";
}

TEST_F(ListenerTest, WhoReadsSlowlyIsNotCut) {
  Listen({.silence = std::chrono::seconds(3)});
  const int slow = Connect();
  ASSERT_TRUE(Soon([&] { return Handed() == 1; }));
  const std::vector<char> news(1000);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(write(handed_[0], news.data(), news.size()), 1000);
  char some[1000];
  for (int i = 0; i < 50; ++i) {
    ASSERT_GT(read(slow, some, sizeof some), 0);
    usleep(100'000);
  }
  EXPECT_EQ(counts_.stalled, 0u);
}

TEST_F(ListenerTest, ALostPathIsMadeAgain) {
  Listen({});
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_EQ(Connect(), -1);
  EXPECT_TRUE(Soon([&] { return Connect() >= 0; }));
  EXPECT_TRUE(Soon([&] { return Handed() >= 1; }));
}

TEST_F(ListenerTest, TheEndDoesNotWaitForPeers) {
  Listen({});
  const int client = Connect();
  ASSERT_TRUE(Soon([&] { return Handed() == 1; }));
  const std::vector<char> much(1 << 20);
  while (send(handed_[0], much.data(), much.size(), MSG_NOSIGNAL) > 0) continue;
  listener_->Stop();
  EXPECT_EQ(Connect(), -1) << "nobody new";
  EXPECT_FALSE(HasEnded(client));
  listener_->EndConnections();
  EXPECT_TRUE(HasEnded(client));
  EXPECT_EQ(send(handed_[0], much.data(), 1, MSG_NOSIGNAL), -1) << "whoever writes is told";
}

}  // namespace
}  // namespace sluice
