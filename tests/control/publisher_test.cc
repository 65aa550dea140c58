// What the data path is told of real servers, over the life of services that share them.
#include "control/publisher.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

class PublisherTest : public testing::Test {
 protected:
  using Told = std::map<std::string, bool>;

  void Submit(const ServiceKey& key, std::optional<std::vector<std::string>> servers) {
    Publisher::Change change = {.generation = ++generation_};
    change.services[key] = std::nullopt;
    if (servers) {
      ServiceSpec spec{.key = key, .scheduler = "rr"};
      for (const std::string& server : *servers)
        spec.destinations.push_back({*IpAddress::Parse(server), Be16::FromHost(80), 1});
      change.services[key] = spec;
    }
    publisher_.Submit(std::move(change));
    publisher_.WaitFor(generation_);
    publisher_.KeepTime(now_ += std::chrono::seconds(1));  // all that was to be told has been
  }
  void LetTrashBeEmptied() {
    for (int seconds = 0; seconds < 200; seconds += 20) publisher_.KeepTime(now_ += std::chrono::seconds(20));
  }
  Told TakeTold() { return std::exchange(told_, {}); }

  const ServiceKey web_{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp};
  const ServiceKey dns_{*IpAddress::Parse("10.99.0.2"), Be16::FromHost(53), Protocol::kUdp};
  Told told_;
  uint64_t generation_ = 0;
  std::chrono::steady_clock::time_point now_{};
  DestinationTable destinations_;
  Publisher publisher_{{.destinations = &destinations_,
                        .publish = [](std::shared_ptr<const Snapshot>) { return absl::OkStatus(); },
                        .statistics = [](DestinationId) { return DestinationStatistics(); },
                        .keep_resolved =
                            [this](const std::map<IpAddress, bool>& changes) {
                              for (const auto& [address, present] : changes)
                                told_[address.ToString()] = present;
                            },
                        .own_time = true}};
};

TEST_F(PublisherTest, RealServersAreToldWhenTheyComeAndWhenTheLastHasGone) {
  Submit(web_, {{"10.1.0.1", "10.1.0.2"}});
  EXPECT_EQ(TakeTold(), (Told{{"10.1.0.1", true}, {"10.1.0.2", true}}));
  Submit(dns_, {{"10.1.0.2", "10.1.0.3"}});
  EXPECT_EQ(TakeTold(), (Told{{"10.1.0.3", true}})) << "the other is known";
  Submit(web_, std::nullopt);
  EXPECT_EQ(TakeTold(), Told{}) << "connections may still go there";
  LetTrashBeEmptied();
  EXPECT_EQ(TakeTold(), (Told{{"10.1.0.1", false}})) << "the other service has the other";
  Submit(dns_, {{"10.1.0.3"}});
  Submit(web_, {{"10.1.0.2"}});
  LetTrashBeEmptied();
  EXPECT_EQ(TakeTold(), Told{}) << "it was there all the time";
}

}  // namespace
}  // namespace sluice
