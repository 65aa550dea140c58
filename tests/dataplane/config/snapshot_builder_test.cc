#include "dataplane/config/snapshot_builder.h"
#include "tests/support/ip.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::seconds;

const ServiceKey kKey{Ip("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp};

class SnapshotBuilderTest : public testing::Test {
 protected:
  static ServiceSpec Spec(const std::vector<std::pair<int, int>>& servers,
                          const std::string& scheduler = "rr") {
    ServiceSpec spec{.key = kKey, .scheduler = scheduler};
    for (const auto& [server, weight] : servers) {
      spec.destinations.push_back({Ip("10.1.0." + std::to_string(server)), Be16::FromHost(80), weight});
    }
    return spec;
  }
  std::shared_ptr<const Snapshot> Publish() {
    auto snapshot = builder_.Build();
    builder_.Published();
    return snapshot;
  }
  // The last numbers of the addresses, in list order.
  static std::string Order(const Service& service) {
    std::string text;
    for (const Candidate& candidate : service.candidates)
      text += std::to_string(candidate.address.bytes[15]) + " ";
    return text;
  }
  DestinationId IdOf(int server) {
    for (const Candidate& candidate : builder_.Find(kKey)->candidates) {
      if (candidate.address.bytes[15] == server) return candidate.id;
    }
    return kNoDestination;
  }

  // Of one service and one server: by their ports, and their addresses for fragments.
  static std::vector<EndpointChange> Roles(const Endpoint& server, bool added) {
    return {{kKey, EndpointRole::kVirtual, added},
            {{kKey.address, Be16{}, kAnyProtocol}, EndpointRole::kVirtual, added},
            {server, EndpointRole::kRealServer, added},
            {{server.address, Be16{}, kAnyProtocol}, EndpointRole::kRealServer, added}};
  }

  DestinationTable destinations_;
  SnapshotBuilder builder_{destinations_};
};

TEST_F(SnapshotBuilderTest, TheNewestIsTheFirst) {
  builder_.Put(Spec({{1, 1}, {2, 1}}));
  EXPECT_EQ(Order(*builder_.Find(kKey)), "2 1 ");
  builder_.Put(Spec({{1, 1}, {2, 1}, {3, 1}}));
  EXPECT_EQ(Order(*builder_.Find(kKey)), "3 2 1 ");
  builder_.Put(Spec({{3, 1}, {1, 1}}));
  EXPECT_EQ(Order(*builder_.Find(kKey)), "3 1 ");
  builder_.Put(Spec({{3, 1}, {1, 1}, {2, 1}}));
  EXPECT_EQ(Order(*builder_.Find(kKey)), "2 3 1 ") << "what comes back comes to the head";
}

TEST_F(SnapshotBuilderTest, UnchangedServicesAreShared) {
  builder_.Put(Spec({{1, 1}}));
  ServiceSpec other = Spec({{2, 1}});
  other.key.port = Be16::FromHost(81);
  builder_.Put(other);
  const auto before = Publish();
  builder_.Put(Spec({{1, 5}}));
  const auto after = Publish();
  EXPECT_EQ(after->generation, before->generation + 1);
  ASSERT_EQ(after->services.size(), 2u);
  EXPECT_NE(after->services.All()[0], before->services.All()[0]);
  EXPECT_EQ(after->services.All()[1], before->services.All()[1]);
  EXPECT_EQ(before->services.All()[0]->candidates[0].weight, 1) << "a snapshot never changes";
  EXPECT_EQ(after->endpoints.FindService(kKey.address, kKey.port, kKey.protocol),
            after->services.All()[0].get());
}

TEST_F(SnapshotBuilderTest, DestinationsKeepTheirIdentity) {
  builder_.Put(Spec({{1, 1}, {2, 1}}));
  Publish();
  const DestinationId one = IdOf(1);
  const DestinationId two = IdOf(2);
  EXPECT_NE(one, two);
  builder_.Put(Spec({{1, 9}, {2, 0}}, "wlc"));
  Publish();
  EXPECT_EQ(IdOf(1), one);
  EXPECT_EQ(IdOf(2), two);
  EXPECT_EQ(builder_.Find(kKey)->candidates[0].last_weight, 1) << "the latest that was not 0";
}

TEST_F(SnapshotBuilderTest, TheSchedulersMemoryCarriesOver) {
  builder_.Put(Spec({{1, 1}, {2, 1}, {3, 1}}));
  const auto pick = [&] {
    const Service& service = *builder_.Find(kKey);
    return service.candidates[service.scheduler->Pick(FlowKey{}, service.candidates)].address.bytes[15];
  };
  EXPECT_EQ(pick(), 3);
  EXPECT_EQ(pick(), 2);
  builder_.Put(Spec({{1, 7}, {2, 7}, {3, 7}}));
  EXPECT_EQ(pick(), 1);
  builder_.Put(Spec({{1, 7}, {2, 7}, {3, 7}}, "wlc"));
  builder_.Put(Spec({{1, 7}, {2, 7}, {3, 7}}, "rr"));
  EXPECT_EQ(pick(), 3) << "another scheduler forgets";
}

TEST_F(SnapshotBuilderTest, RemovedIsUnavailableOncePublishedAndComesBackAsItWas) {
  builder_.Put(Spec({{1, 1}, {2, 1}}));
  Publish();
  const DestinationId two = IdOf(2);
  EXPECT_TRUE(destinations_.IsAvailable(two));
  destinations_.load(two).connections = 5;
  builder_.Put(Spec({{1, 1}}));
  const auto snapshot = builder_.Build();
  EXPECT_TRUE(destinations_.IsAvailable(two)) << "workers still use the old snapshot";
  builder_.Published();
  EXPECT_FALSE(destinations_.IsAvailable(two));
  builder_.Put(Spec({{1, 1}, {2, 1}}));
  Publish();
  EXPECT_EQ(IdOf(2), two);
  EXPECT_TRUE(destinations_.IsAvailable(two));
}

TEST_F(SnapshotBuilderTest, TrashIsEmptiedTwoMinutesAfterTheLastConnection) {
  builder_.Put(Spec({{1, 1}, {2, 1}}));
  Publish();
  const DestinationId two = IdOf(2);
  destinations_.load(two).connections = 1;
  builder_.Put(Spec({{1, 1}}));
  Publish();
  SnapshotBuilder::Clock::time_point now{};
  EXPECT_TRUE(builder_.EmptyTrash(now += seconds(600)).empty()) << "it has a connection";
  destinations_.load(two).connections = 0;
  EXPECT_TRUE(builder_.EmptyTrash(now += seconds(60)).empty());
  EXPECT_TRUE(builder_.EmptyTrash(now += seconds(119)).empty());
  const std::vector<SnapshotBuilder::Freed> freed = builder_.EmptyTrash(now += seconds(1));
  ASSERT_EQ(freed.size(), 1u);
  EXPECT_EQ(freed[0].id, two);
  EXPECT_EQ(freed[0].service, kKey);
  EXPECT_EQ(builder_.trash_size(), 0u);
  builder_.Put(Spec({{1, 1}, {7, 1}}));
  EXPECT_EQ(IdOf(7), two) << "the id serves again";
  EXPECT_EQ(destinations_.life(two), 2u) << "in another life";
}

TEST_F(SnapshotBuilderTest, SteeringLearnsRolesAndKeepsThemWhileThereMayBeConnections) {
  const Endpoint server{Ip("10.1.0.1"), Be16::FromHost(80), Protocol::kTcp};
  builder_.Put(Spec({{1, 1}}));
  EXPECT_EQ(Publish()->endpoint_changes, Roles(server, true));
  builder_.Put(Spec({{1, 5}}));
  EXPECT_TRUE(Publish()->endpoint_changes.empty());
  builder_.Delete(kKey);
  const auto deleted = Publish();
  EXPECT_TRUE(deleted->endpoint_changes.empty()) << "its connections still need both";
  EXPECT_TRUE(deleted->endpoints.IsRealServer(server.address, server.port, server.protocol));
  SnapshotBuilder::Clock::time_point now{};
  builder_.EmptyTrash(now);
  builder_.EmptyTrash(now += seconds(121));
  const auto emptied = Publish();
  EXPECT_EQ(emptied->endpoint_changes, Roles(server, false));
  EXPECT_FALSE(emptied->endpoints.IsRealServer(server.address, server.port, server.protocol));
}

TEST_F(SnapshotBuilderTest, OneRealServerOfTwoServices) {
  ServiceSpec other = Spec({{1, 1}});
  other.key.port = Be16::FromHost(81);
  builder_.Put(Spec({{1, 1}}));
  builder_.Put(other);
  const auto both = Publish();
  EXPECT_EQ(both->endpoint_changes.size(), 5u);
  builder_.Delete(kKey);
  Publish();
  SnapshotBuilder::Clock::time_point now{};
  builder_.EmptyTrash(now);
  builder_.EmptyTrash(now += seconds(121));
  EXPECT_EQ(Publish()->endpoint_changes,
            (std::vector<EndpointChange>{{kKey, EndpointRole::kVirtual, false}}));
}

TEST_F(SnapshotBuilderTest, PrefixesAreSteeredWhileTheirMarkHasAService) {
  const FwmarkRule rule{.fwmark = 7, .prefix = Ip("10.99.0.0"), .prefix_length = 24};
  const FwmarkRule other{.fwmark = 8, .prefix = Ip("10.98.0.0"), .prefix_length = 24};
  builder_.SetGlobal({.fwmark_rules = {rule, other}});
  EXPECT_TRUE(Publish()->prefix_changes.empty());
  const ServiceKey marked{{Ip("0.0.0.0"), Be16{}, Protocol::kTcp}, 7};
  builder_.Put({.key = marked, .scheduler = "rr"});
  EXPECT_EQ(Publish()->prefix_changes, (std::vector<PrefixChange>{{rule.prefix, 24, true}}));
  EXPECT_TRUE(Publish()->prefix_changes.empty());
  builder_.Delete(marked);
  EXPECT_EQ(Publish()->prefix_changes, (std::vector<PrefixChange>{{rule.prefix, 24, false}}));
}

// A mark's server may be asked on any port, in any protocol; an FTP service's on any port of TCP.
TEST_F(SnapshotBuilderTest, WiderServicesAreSteeredByWiderEndpoints) {
  const auto added = [&](const Snapshot& snapshot) {
    std::string text;
    for (const EndpointChange& change : snapshot.endpoint_changes) {
      text += (change.role == EndpointRole::kVirtual ? "to " : "from ") + change.endpoint.ToString() + "/" +
              std::to_string(static_cast<int>(change.endpoint.protocol)) + " ";
    }
    return text;
  };
  builder_.Put({.key = {{Ip("0.0.0.0"), Be16{}, Protocol::kTcp}, 7},
                .scheduler = "rr",
                .destinations = {{.address = Ip("10.1.0.1")}}});
  EXPECT_EQ(added(*Publish()), "from 10.1.0.1:0/6 from 10.1.0.1:0/17 from 10.1.0.1:0/132 from 10.1.0.1:0/0 ");
  builder_.Put({.key = {{Ip("10.99.0.1"), Be16::FromHost(21), Protocol::kTcp}},
                .scheduler = "rr",
                .destinations = {{.address = Ip("10.1.0.2"), .port = Be16::FromHost(21)}}});
  EXPECT_EQ(added(*Publish()),
            "to 10.99.0.1:21/6 to 10.99.0.1:0/6 to 10.99.0.1:0/0 from 10.1.0.2:0/6 from 10.1.0.2:0/0 ");
  builder_.Put({.key = {{Ip("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp}},
                .scheduler = "rr",
                .destinations = {{.address = Ip("10.1.0.3")}}});
  EXPECT_EQ(added(*Publish()), "to 10.99.0.1:80/6 from 10.1.0.3:80/6 from 10.1.0.3:0/0 ")
      << "port 0 is the service's";
}

}  // namespace
}  // namespace sluice
