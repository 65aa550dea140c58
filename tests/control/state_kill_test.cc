// Whenever its process is killed, the configuration that comes back is one that was acknowledged, or the one
// that was under way: never a mixture.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/store_rig.h"

namespace sluice {
namespace {

// Each changes several services at once, whole and in part, and what belongs to no service.
v1::ApplyRequest RequestOf(uint64_t number) {
  v1::ApplyRequest request;
  const auto set_key = [](v1::ServiceKey* key, uint64_t port) {
    key->set_protocol(v1::TCP);
    key->set_address("10.99.0.1");
    key->set_port(static_cast<uint32_t>(port));
  };
  for (uint64_t i = 0; i < 3; ++i) {
    v1::PutService& put = *request.add_changes()->mutable_put_service();
    set_key(put.mutable_service()->mutable_key(), 1000 + (number * 3 + i) % 40);
    put.mutable_service()->set_scheduler(number % 2 == 0 ? "rr" : "wlc");
    put.set_replace_destinations(true);
    for (uint64_t server = 0; server < number % 5; ++server) {
      v1::Destination& destination = *put.mutable_service()->add_destinations();
      destination.set_address(absl::StrCat("10.1.0.", 1 + server));
      destination.set_port(80);
      destination.set_method(v1::NAT);
      destination.set_weight(static_cast<uint32_t>(number));
    }
  }
  if (number % 4 == 0)
    request.add_changes()->mutable_set_timeouts()->set_udp_seconds(static_cast<uint32_t>(number));
  if (number % 7 == 6)
    set_key(request.add_changes()->mutable_delete_service()->mutable_key(), 1000 + number * 3 % 40);
  return request;
}

// Applies until it is killed; says the number of each that was acknowledged.
[[noreturn]] void ApplyForEver(const std::string& path, int tell) {
  StoreRig rig;
  if (!rig.TakeUp(path).ok()) _exit(1);
  for (uint64_t number = rig.store.generation() + 1;; ++number) {
    if (!rig.store.Apply(RequestOf(number)).ok()) _exit(1);
    if (write(tell, &number, sizeof number) != sizeof number) _exit(1);
  }
}

TEST(StateKillTest, TwoHundredTimes) {
  char folder[] = "/tmp/state_kill_test.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = absl::StrCat(folder, "/state");
  std::mt19937 random(11);
  struct Seen {
    uint64_t acknowledged;
    uint64_t generation;
    std::string config;
  };
  std::vector<Seen> seen;  // compared at the end: now there may be no thread but this
  uint64_t last = 0;
  int in_flight = 0;
  for (int round = 0; round < 200; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipes[0]);
      ApplyForEver(path, pipes[1]);
    }
    close(pipes[1]);
    // Not before it works: that would test nothing.
    uint64_t acknowledged = last;
    ASSERT_EQ(read(pipes[0], &acknowledged, sizeof acknowledged), static_cast<ssize_t>(sizeof acknowledged));
    usleep(random() % 5000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    while (read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) continue;
    close(pipes[0]);

    StoreRig after;
    const absl::Status taken_up = after.TakeUp(path);
    ASSERT_TRUE(taken_up.ok()) << taken_up;
    last = after.store.generation();
    seen.push_back({acknowledged, last, after.store.Config().config().SerializeAsString()});
  }
  StoreRig reference;
  std::vector<std::string> expected = {""};  // by generation
  for (const Seen& each : seen) {
    ASSERT_TRUE(each.generation == each.acknowledged || each.generation == each.acknowledged + 1)
        << each.generation << " after " << each.acknowledged;
    while (expected.size() <= each.generation) {
      ASSERT_TRUE(reference.store.Apply(RequestOf(expected.size())).ok());
      expected.push_back(reference.store.Config().config().SerializeAsString());
    }
    ASSERT_EQ(each.config, expected[each.generation]) << "generation " << each.generation;
    in_flight += each.generation > each.acknowledged;
  }
  EXPECT_GT(in_flight, 0) << "some must have died between writing and saying so";
  std::filesystem::remove_all(folder);
}

constexpr uint32_t kClients = 4;

// Four clients at once; each has a service, whose one real server's weight is the number of its change. What
// is acknowledged is told as the client and the number.
struct Told {
  uint32_t client;
  uint32_t number;
};

v1::ApplyRequest RequestOf(const Told& told) {
  v1::ApplyRequest request;
  v1::PutService& put = *request.add_changes()->mutable_put_service();
  v1::ServiceKey& key = *put.mutable_service()->mutable_key();
  key.set_protocol(v1::TCP);
  key.set_address("10.99.0.1");
  key.set_port(1 + told.client);
  put.set_replace_destinations(true);
  v1::Destination& server = *put.mutable_service()->add_destinations();
  server.set_address("10.1.0.1");
  server.set_port(80);
  server.set_method(v1::NAT);
  server.set_weight(told.number);
  return request;
}

[[noreturn]] void ApplyFromSeveral(const std::string& path, int tell, uint32_t first) {
  StoreRig rig;
  if (!rig.TakeUp(path).ok()) _exit(1);
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      for (Told told{client, first};; ++told.number) {
        if (!rig.store.Apply(RequestOf(told)).ok()) _exit(1);
        if (write(tell, &told, sizeof told) != sizeof told) _exit(1);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  _exit(1);
}

TEST(StateKillTest, WithSeveralClientsAHundredTimes) {
  char folder[] = "/tmp/state_kill_test.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = absl::StrCat(folder, "/state");
  std::mt19937 random(12);
  uint32_t first = 1;
  for (int round = 0; round < 100; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipes[0]);
      ApplyFromSeveral(path, pipes[1], first);
    }
    close(pipes[1]);
    uint32_t acknowledged[kClients] = {};
    Told told;
    ASSERT_EQ(read(pipes[0], &told, sizeof told), static_cast<ssize_t>(sizeof told));
    acknowledged[told.client] = told.number;
    usleep(random() % 5000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    while (read(pipes[0], &told, sizeof told) == sizeof told) acknowledged[told.client] = told.number;
    close(pipes[0]);
    StoreRig after;
    const absl::Status taken_up = after.TakeUp(path);
    ASSERT_TRUE(taken_up.ok()) << taken_up;
    const v1::GetConfigResponse config = after.store.Config();
    uint32_t highest = first;
    for (const v1::Service& service : config.config().services()) {
      const uint32_t kept = service.destinations(0).weight();
      const uint32_t heard = acknowledged[service.key().port() - 1];
      if (heard != 0) {
        ASSERT_TRUE(kept == heard || kept == heard + 1) << kept << " after " << heard;
      }
      highest = std::max(highest, kept);
      acknowledged[service.key().port() - 1] = 0;
    }
    for (const uint32_t heard : acknowledged) ASSERT_EQ(heard, 0u) << "a service was lost";
    first = highest + 1;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice
