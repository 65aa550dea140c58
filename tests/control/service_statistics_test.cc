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

}  // namespace
}  // namespace sluice
