// The mirror's decisions against a kernel that is played: foreign writers, incomplete lists, refusals, and a
// rival that undoes everything. Time is simulated.
// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/mirror_plan.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>

#include "control/ipvs/other_writer.h"
#include "tests/support/ip.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Clock = MirrorState::Clock;
using Kind = KernelServiceChange::Kind;

ServiceKey KeyOf(int number) {
  return ServiceKey{Endpoint{.address = Ip("10.99.0." + std::to_string(number)),
                             .port = Be16::FromHost(80),
                             .protocol = Protocol::kTcp}};
}

v1::Service ServiceOf(int number, const std::vector<int>& servers, const std::string& scheduler = "rr") {
  v1::Service service;
  service.mutable_key()->set_protocol(v1::TCP);
  service.mutable_key()->set_address("10.99.0." + std::to_string(number));
  service.mutable_key()->set_port(80);
  service.set_scheduler(scheduler);
  service.set_owner(v1::CLI);
  for (const int server : servers) {
    v1::Destination& destination = *service.add_destinations();
    destination.set_address("10.65.0." + std::to_string(server));
    destination.set_port(8080);
    destination.set_method(v1::NAT);
    destination.set_weight(static_cast<uint32_t>(server % 3 + 1));
  }
  return service;
}

// What the kernel does with requests, and how it lists.
class PlayedKernel {
 public:
  std::vector<int> Apply(const std::vector<KernelServiceChange>& changes) {
    std::vector<int> answers;
    for (const KernelServiceChange& change : changes) {
      const ServiceKey& key = change.service.key;
      EXPECT_FALSE(foreign_.contains(key) && change.kind != Kind::kNewService)
          << "somebody else's is changed";
      answers.push_back(Do(key, change));
      ++requests;
    }
    return answers;
  }
  std::vector<KernelService> List(bool leaves_one_out, std::mt19937& random) const {
    std::vector<KernelService> list;
    for (const auto& [key, service] : services) list.push_back(service);
    if (leaves_one_out && !list.empty()) list.erase(list.begin() + static_cast<long>(random() % list.size()));
    return list;
  }
  // What has a name of ours is ours: somebody undoes what was written.
  void AddForeign(int number, const std::set<ServiceKey>& owned = {}) {
    const ServiceKey key = KeyOf(number);
    const bool is_new = services.try_emplace(key, KernelService{.key = key, .scheduler = "lc"}).second;
    if (is_new && !owned.contains(key)) foreign_.insert(key);
  }
  void RemoveForeign(int number) {
    if (foreign_.erase(KeyOf(number)) > 0) services.erase(KeyOf(number));
  }
  bool IsForeign(int number) const { return foreign_.contains(KeyOf(number)); }

  std::map<ServiceKey, KernelService> services;
  std::set<std::string> schedulers = {"rr", "wlc", "sh"};
  int requests = 0;

 private:
  int Do(const ServiceKey& key, const KernelServiceChange& change) {
    const auto found = services.find(key);
    if (change.kind == Kind::kNewService) {
      if (found != services.end()) return EEXIST;
      if (!schedulers.contains(change.service.scheduler)) return ENOENT;
      services[key] = change.service;
      return 0;
    }
    if (found == services.end()) return ESRCH;
    std::vector<KernelDestination>& there = found->second.destinations;
    const auto server = std::find_if(there.begin(), there.end(),
                                     [&](const auto& each) { return each.IsAt(change.destination); });
    switch (change.kind) {
      case Kind::kSetService: {
        if (!schedulers.contains(change.service.scheduler)) return ENOENT;
        std::vector<KernelDestination> kept = std::move(there);
        found->second = change.service;
        found->second.destinations = std::move(kept);
        return 0;
      }
      case Kind::kDeleteService: services.erase(found); return 0;
      case Kind::kNewDestination:
        if (server != there.end()) return EEXIST;
        there.push_back(change.destination);
        return 0;
      case Kind::kSetDestination:
        if (server == there.end()) return ENOENT;
        *server = change.destination;
        return 0;
      case Kind::kDeleteDestination:
        if (server == there.end()) return ENOENT;
        there.erase(server);
        return 0;
      default: return EINVAL;
    }
  }

  std::set<ServiceKey> foreign_;
};

class MirrorPlanTest : public testing::Test {
 protected:
  void Want(const v1::Service& service) {
    v1::WatchConfigResponse news;
    *news.mutable_diff()->mutable_config()->add_services() = service;
    TakeNews(state_, news);
  }
  void DoNotWant(int number) {
    v1::WatchConfigResponse news;
    *news.mutable_diff()->add_deleted_services() = ServiceOf(number, {}).key();
    TakeNews(state_, news);
  }
  uint64_t Read(bool leaves_one_out = false) {
    in_doubt_ = false;
    return Observe(state_, kernel_.List(leaves_one_out, random_), now_);
  }
  // As the mirror's executor does it.
  void Write() {
    const MirrorPlan plan = PlanMirror(state_, now_);
    state_.owned.insert(plan.newly_owned.begin(), plan.newly_owned.end());
    in_doubt_ |=
        Settle(state_, plan, Carry(plan, [this](const auto& changes) { return kernel_.Apply(changes); }))
            .in_doubt;
  }
  void Rounds(int count) {
    for (int i = 0; i < count; ++i) {
      now_ += 30s;
      Read();
      for (int tries = 0; tries < 4 && !state_.dirty.empty(); ++tries) Write();
    }
  }

  std::mt19937 random_{static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed())};
  MirrorState state_;
  PlayedKernel kernel_;
  Clock::time_point now_ = Clock::time_point() + 1h;
  bool in_doubt_ = false;
};

TEST_F(MirrorPlanTest, AServiceThatTheListLeftOutStaysOurs) {
  Want(ServiceOf(1, {1, 2}));
  Rounds(1);
  ASSERT_TRUE(kernel_.services.contains(KeyOf(1)));
  Read(/*leaves_one_out=*/true);
  Write();
  EXPECT_TRUE(in_doubt_) << "it is there although it was not listed: read again";
  EXPECT_TRUE(state_.owned.contains(KeyOf(1)));
  Rounds(1);
  Want(ServiceOf(1, {2, 3}));
  Rounds(1);
  EXPECT_EQ(kernel_.services[KeyOf(1)].destinations.size(), 2u);
  EXPECT_EQ(kernel_.services[KeyOf(1)].destinations[1].address, Ip("10.65.0.3"))
      << "a change still comes to it";
  EXPECT_TRUE(state_.notes.empty());
  DoNotWant(1);
  Rounds(1);
  EXPECT_TRUE(kernel_.services.empty()) << "and it can be removed";
}

TEST_F(MirrorPlanTest, OneThatSomebodyMadeMeanwhileIsTheirs) {
  Read();
  kernel_.AddForeign(1);
  Want(ServiceOf(1, {1}));
  Write();
  EXPECT_TRUE(in_doubt_);
  EXPECT_FALSE(state_.owned.contains(KeyOf(1)));
  Rounds(2);
  EXPECT_EQ(kernel_.services[KeyOf(1)].scheduler, "lc");
  EXPECT_NE(state_.notes[KeyOf(1)].what.find("somebody else made"), std::string::npos);
  kernel_.RemoveForeign(1);
  Rounds(1);
  EXPECT_EQ(kernel_.services[KeyOf(1)].scheduler, "rr");
}

// kube-proxy beside the mirror: whatever is written is gone when it is read again.
TEST_F(MirrorPlanTest, ARivalIsLeftAloneAfterAFewRounds) {
  Want(ServiceOf(1, {1}));
  Want(ServiceOf(2, {1}));
  state_.other = "kube-proxy";
  Rounds(1);
  const auto fight = [&](int rounds) {
    const int before = kernel_.requests;
    for (int i = 0; i < rounds; ++i) {
      kernel_.services.erase(KeyOf(1));
      Rounds(1);
    }
    return kernel_.requests - before;
  };
  EXPECT_EQ(fight(3), 6) << "the service and its server, three times";
  EXPECT_EQ(fight(1), 0) << "that is enough";
  EXPECT_EQ(state_.CountContested(now_), 1u);
  EXPECT_NE(state_.notes[KeyOf(1)].what.find("kube-proxy changes it again and again"), std::string::npos);
  EXPECT_TRUE(state_.notes[KeyOf(1)].impossible);
  EXPECT_TRUE(kernel_.services.contains(KeyOf(2))) << "which has nothing to do with it";
  const int in_a_day = fight(2 * 60 * 24);
  EXPECT_GE(in_a_day, 2 * 24) << "it is tried again";
  EXPECT_LE(in_a_day, 2 * 60) << "but seldom";
  Rounds(2 * 60 * 3);
  EXPECT_TRUE(kernel_.services.contains(KeyOf(1))) << "the rival has gone";
  EXPECT_EQ(state_.contests.size(), 0u);
  EXPECT_TRUE(state_.notes.empty());
}

TEST_F(MirrorPlanTest, AnotherSchedulerWhereTheKernelHasNone) {
  Want(ServiceOf(1, {1}, "mh"));
  Rounds(1);
  EXPECT_EQ(kernel_.services[KeyOf(1)].scheduler, "sh");
  EXPECT_NE(state_.notes[KeyOf(1)].what.find("sh instead"), std::string::npos);
}

// Whatever happens in between, in the end the kernel has what is wanted, and of others' what they made.
TEST_F(MirrorPlanTest, Converges) {
  constexpr int kServices = 12;
  SCOPED_TRACE("--gtest_random_seed=" + std::to_string(testing::UnitTest::GetInstance()->random_seed()));
  for (int life = 0; life < 300; ++life) {
    state_ = {};
    kernel_ = {};
    const auto pick = [&] { return static_cast<int>(random_() % kServices) + 1; };
    for (int step = 0; step < 60; ++step) {
      switch (random_() % 8) {
        case 0:
        case 1: {
          std::vector<int> servers;
          for (int server = 1; server < 6; ++server) {
            if (random_() % 2 == 0) servers.push_back(server);
          }
          std::shuffle(servers.begin(), servers.end(), random_);
          Want(ServiceOf(pick(), servers, random_() % 2 == 0 ? "rr" : "mh"));
          break;
        }
        case 2: DoNotWant(pick()); break;
        case 3: kernel_.AddForeign(pick(), state_.owned); break;
        case 4: kernel_.RemoveForeign(pick()); break;
        case 5: {
          const int number = pick();
          if (!kernel_.IsForeign(number)) kernel_.services.erase(KeyOf(number));
          break;
        }
        case 6: {
          const auto found = kernel_.services.find(KeyOf(pick()));
          if (found != kernel_.services.end()) found->second.timeout += 1;
          break;
        }
        default: Read(random_() % 2 == 0);
      }
      if (random_() % 2 == 0) Write();
      now_ += 1s;
    }
    Rounds(200);  // longer than any peace
    EXPECT_TRUE(state_.dirty.empty());
    for (int number = 1; number <= kServices; ++number) {
      const ServiceKey key = KeyOf(number);
      const auto wanted = state_.wanted.find(key);
      const bool is_ours = state_.owned.contains(key);
      if (wanted == state_.wanted.end()) {
        EXPECT_FALSE(is_ours) << number;
      } else if (!kernel_.IsForeign(number)) {
        ASSERT_TRUE(is_ours && kernel_.services.contains(key)) << number;
        const KernelService& there = kernel_.services[key];
        EXPECT_EQ(there.timeout, 0u) << number;
        ASSERT_EQ(there.destinations.size(), static_cast<size_t>(wanted->second.destinations_size()))
            << number;
        for (int i = 0; i < wanted->second.destinations_size(); ++i)
          EXPECT_EQ(there.destinations[static_cast<size_t>(i)].address,
                    Ip(wanted->second.destinations(i).address()));
      }
      if (kernel_.IsForeign(number)) EXPECT_EQ(kernel_.services[key].scheduler, "lc") << number;
    }
    if (HasFailure()) return;
  }
}

TEST(OtherWriterTest, IsKnownByProcessesAndInterfaces) {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("writer-" + std::to_string(getpid()));
  fs::create_directories(root / "proc/12");
  std::ofstream(root / "proc/12/comm") << "sluiced\n";
  EXPECT_EQ(OtherWriter(root), "somebody else");
  fs::create_directories(root / "sys/class/net/kube-ipvs0");
  EXPECT_EQ(OtherWriter(root), "kube-proxy (by its interface kube-ipvs0)");
  fs::create_directories(root / "proc/77");
  std::ofstream(root / "proc/77/comm") << "keepalived\n";
  EXPECT_EQ(OtherWriter(root), "keepalived (process 77)");
  fs::remove_all(root);
}

}  // namespace
}  // namespace sluice
