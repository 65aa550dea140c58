#include "control/service_statistics.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// Workers' counters never go back; ids, destinations and services come and go.
class ServiceStatisticsTest : public testing::Test {
 protected:
  void Put(const std::vector<int>& servers) {
    ServiceSpec spec{.key = key_, .scheduler = "rr"};
    for (const int server : servers) {
      spec.destinations.push_back(
          {IpAddress::FromV4(Be32::FromHost(0x0a010000 + static_cast<uint32_t>(server))), Be16::FromHost(80),
           1});
    }
    builder_.Put(spec);
    statistics_.Follow(*builder_.Find(key_));
    builder_.Build();
    builder_.Published();
  }
  void Delete() {
    builder_.Delete(key_);
    statistics_.Forget(key_);
  }
  void EmptyTrash() {
    builder_.EmptyTrash(now_);
    for (const auto& freed : builder_.EmptyTrash(now_ += std::chrono::seconds(121))) statistics_.Freed(freed);
  }
  DestinationId IdOf(int server) {
    for (const Candidate& candidate : builder_.Find(key_)->candidates) {
      if (candidate.address.bytes[15] == server) return candidate.id;
    }
    return kNoDestination;
  }
  void Count(int server, uint64_t packets) { counted_[IdOf(server)] += packets; }
  uint64_t Service() { return statistics_.OfService(key_).in_packets; }
  uint64_t Destination(int server) { return statistics_.OfDestination(IdOf(server)).in_packets; }

  const ServiceKey key_{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp};
  std::map<DestinationId, uint64_t> counted_;
  DestinationTable destinations_;
  SnapshotBuilder builder_{destinations_};
  ServiceStatistics statistics_{
      destinations_, [this](DestinationId id) { return DestinationStatistics{.in_packets = counted_[id]}; }};
  SnapshotBuilder::Clock::time_point now_{};
};

TEST_F(ServiceStatisticsTest, AServiceIsTheSumOfItsDestinationsPresentAndFormer) {
  Put({1, 2});
  Count(1, 10);
  Count(2, 100);
  EXPECT_EQ(Service(), 110u);
  Put({1});
  EXPECT_EQ(Service(), 110u);
  EmptyTrash();
  EXPECT_EQ(Service(), 110u);
  Count(1, 5);
  EXPECT_EQ(Service(), 115u);
}

TEST_F(ServiceStatisticsTest, ADestinationThatComesBackFromTheTrashHasItsOldCount) {
  Put({1});
  Count(1, 10);
  Put({});
  Put({1});
  EXPECT_EQ(Destination(1), 10u);
  EXPECT_EQ(Service(), 10u);
}

TEST_F(ServiceStatisticsTest, AnIdInAnotherLifeStartsAtZero) {
  Put({1});
  const DestinationId id = IdOf(1);
  Count(1, 10);
  Put({});
  EmptyTrash();
  Put({7});
  ASSERT_EQ(IdOf(7), id);
  EXPECT_EQ(Destination(7), 0u);
  EXPECT_EQ(Service(), 10u);
  Count(7, 3);
  EXPECT_EQ(Destination(7), 3u);
  EXPECT_EQ(Service(), 13u);
}

TEST_F(ServiceStatisticsTest, ANewServiceStartsAtZeroWhateverItsDestinationsBring) {
  Put({1});
  Count(1, 10);
  Delete();
  Put({1});
  EXPECT_EQ(Service(), 0u);
  EXPECT_EQ(Destination(1), 10u);
  Count(1, 4);
  EXPECT_EQ(Service(), 4u);
}

TEST_F(ServiceStatisticsTest, ZeroedTheyCountOn) {
  Put({1, 2});
  Count(1, 4000);
  Put({2});
  EmptyTrash();
  Count(2, 8000);
  statistics_.Estimate(100);
  EXPECT_EQ(Service(), 12000u);
  EXPECT_TRUE(statistics_.Zero(key_));
  EXPECT_EQ(Service(), 0u);
  EXPECT_EQ(Destination(2), 0u);
  EXPECT_EQ(statistics_.RatesOfService(key_).in_packets, 0u);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 1500u) << "it is about all services";
  Count(2, 800);
  statistics_.Estimate(100);
  EXPECT_EQ(Service(), 800u);
  EXPECT_EQ(statistics_.RatesOfService(key_).in_packets, 100u);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 1225u);
  statistics_.ZeroAll();
  EXPECT_EQ(Service(), 0u);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 0u);
  statistics_.Estimate(100);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 0u);
  const ServiceKey absent{*IpAddress::Parse("10.99.0.9"), Be16::FromHost(80), Protocol::kTcp};
  EXPECT_FALSE(statistics_.Zero(absent));
}

// However small the steps, and whoever goes in between, all rates are those of one step.
TEST_F(ServiceStatisticsTest, RatesAreEstimatedInSteps) {
  Put({1, 2, 3});
  const auto estimate = [&](size_t most) {
    int steps = 1;
    while (!statistics_.Estimate(most)) ++steps;
    return steps;
  };
  Count(1, 4000);
  Count(3, 8000);
  EXPECT_EQ(estimate(100), 1);
  EXPECT_EQ(statistics_.RatesOfDestination(IdOf(1)).in_packets, 500u);
  EXPECT_EQ(statistics_.RatesOfDestination(IdOf(3)).in_packets, 1000u);
  EXPECT_EQ(statistics_.RatesOfService(key_).in_packets, 1500u);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 1500u);
  Count(2, 12000);
  EXPECT_GT(estimate(1), 3);
  EXPECT_EQ(statistics_.RatesOfDestination(IdOf(1)).in_packets, 375u);
  EXPECT_EQ(statistics_.RatesOfDestination(IdOf(2)).in_packets, 1500u);
  EXPECT_EQ(statistics_.RatesOfService(key_).in_packets, 2625u);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 2625u);
  // It goes before the estimate has come to it: its packets are in the total once.
  Count(3, 8000);
  Put({1, 2});
  EXPECT_FALSE(statistics_.Estimate(1));
  EmptyTrash();
  estimate(1);
  EXPECT_EQ(statistics_.TotalRates().in_packets, 2969u) << "three quarters, and a quarter of 4,000";
  EXPECT_EQ(statistics_.RatesOfService(key_).in_packets, 2969u);
}

}  // namespace
}  // namespace sluice
