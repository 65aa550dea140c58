// Changes on their road: what is refused, with which words, and that a refusal changes nothing.
#include "control/config_store.h"

#include <time.h>

#include <algorithm>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/control/config_rig.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(ConfigStoreTest, AnOwnerReplacesWhatItOwns) {
  const auto replace = [](const std::string& owner, const std::string& config) {
    return "owner: " + owner + " changes { replace_owned { config { " + config + " } } }";
  };
  const auto service = [](int port, const std::string& more = "") {
    return R"(services { key { protocol: TCP address: "10.99.0.1" port: )" + std::to_string(port) + " } " +
           more + " } ";
  };
  const std::string server = R"(destinations { address: "10.1.0.1" port: 80 method: NAT } )";
  const std::string rule = R"(fwmark_rules { fwmark: 7 prefix: "10.99.0.0/24" } )";
  const std::string other_rule = R"(fwmark_rules { fwmark: 8 prefix: "10.98.0.0/24" } )";
  Changed(add_);  // the operator's, port 80
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81, server) + service(82) + rule)),
              ElementsAre("added rule 10.99.0.0/24 ports 0-65535 to mark 7", "added service TCP 10.99.0.1:81",
                          "added server 10.1.0.1:80 of TCP 10.99.0.1:81", "added service TCP 10.99.0.1:82"));
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81, server) + service(82) + rule)), ElementsAre());
  EXPECT_THAT(Changed(replace("KUBERNETES", service(81) + service(83) + other_rule + rule)),
              ElementsAre("deleted rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "added rule 10.98.0.0/24 ports 0-65535 to mark 8",
                          "added rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "deleted server 10.1.0.1:80 of TCP 10.99.0.1:81", "added service TCP 10.99.0.1:83",
                          "deleted service TCP 10.99.0.1:82"));
  // What is wrong changes nothing; what is another's is named with both owners.
  EXPECT_THAT(
      Refused(replace("KUBERNETES", service(80) + service(84) + service(84))),
      ElementsAre(HasSubstr("services[0]: service TCP 10.99.0.1:80 belongs to cli: kubernetes may not"),
                  HasSubstr("services[2]: service TCP 10.99.0.1:84 is listed twice")));
  EXPECT_THAT(Changed(replace("KUBERNETES", "")),
              ElementsAre("deleted rule 10.98.0.0/24 ports 0-65535 to mark 8",
                          "deleted rule 10.99.0.0/24 ports 0-65535 to mark 7",
                          "deleted service TCP 10.99.0.1:81", "deleted service TCP 10.99.0.1:83"));
  EXPECT_EQ(store_.Config().config().services_size(), 1) << "the operator's is still there";
}

// A VLAN that is not up yet when sluiced starts must not cost the configuration.
TEST_F(ConfigStoreTest, RestoresWhatIsOfAnInterfaceThatIsAway) {
  const std::string local = R"(local_addresses { address: "10.2.0.1" interface: "nowhere0" } )";
  EXPECT_THAT(Refused("changes { replace_owned { config { " + local + " } } }"),
              ElementsAre(HasSubstr("\"nowhere0\": this host has no such interface")));
  v1::ConfigDiff kept;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "generation: 7 config { timeouts { tcp_seconds: 1 tcp_fin_seconds: 2 udp_seconds: 3 } " + local + "}",
      &kept));
  EXPECT_TRUE(store_.Restore(kept).ok());
  EXPECT_EQ(store_.Config().config().local_addresses(0).interface(), "nowhere0");
  EXPECT_EQ(store_.generation(), 7u);
  publisher_.WaitFor(7);
}

TEST_F(ConfigStoreTest, NamesOfKubernetesAreKept) {
  EXPECT_TRUE(Apply("changes { put_service { replace_destinations: true service { " + key_ +
                    " kubernetes { namespace: 'shop' service: 'cart' port: 'http' } "
                    "destinations { address: '10.1.0.1' port: 80 method: NAT endpoint: 'cart-7d9' } } } }")
                  .ok());
  const v1::GetConfigResponse config = store_.Config();
  EXPECT_EQ(config.config().services(0).kubernetes().service(), "cart");
  EXPECT_EQ(config.config().services(0).destinations(0).endpoint(), "cart-7d9");
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ + " kubernetes { service: '" +
                      std::string(254, 'x') + "' } } } }"),
              ElementsAre(HasSubstr("kubernetes.service: 254 characters")));
}

TEST_F(ConfigStoreTest, OfManyChangesTheFirstThousandAreTold) {
  constexpr int kServices = 1003;
  std::string text;
  for (int port = 1; port <= kServices; ++port) {
    text += R"(changes { put_service { service { key { protocol: TCP address: "10.99.0.1" port: )" +
            std::to_string(port) + " } } } } ";
  }
  const std::vector<std::string> changed = Changed(text);
  ASSERT_EQ(changed.size(), 1001u);
  EXPECT_EQ(changed[999], "added service TCP 10.99.0.1:1000");
  EXPECT_EQ(changed.back(), "and 3 more");
  EXPECT_EQ(published_->services.size(), static_cast<size_t>(kServices));
}

TEST_F(ConfigStoreTest, WhatIsAppliedIsPublished) {
  EXPECT_THAT(
      Changed(add_ + Server(R"(address: "10.1.0.1" port: 8080 weight: 3)")),
      ElementsAre("added service TCP 10.99.0.1:80", "added server 10.1.0.1:8080 of TCP 10.99.0.1:80"));
  ASSERT_EQ(published_->services.size(), 1u) << "before Apply returns";
  EXPECT_EQ(published_->services.All()[0]->spec.scheduler, "rr");
  ASSERT_EQ(published_->services.All()[0]->candidates.size(), 1u);
  EXPECT_EQ(published_->services.All()[0]->candidates[0].weight, 3);
  EXPECT_EQ(store_.generation(), 1u);
}

TEST_F(ConfigStoreTest, WhatIsThereAlreadyIsNoChange) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)"));
  const uint64_t generation = store_.generation();
  EXPECT_THAT(Changed("changes { put_service { service { " + key_ + R"( scheduler: "rr" } } } )" +
                      Server(R"(address: "10.1.0.1" port: 80 weight: 1)", "UPSERT")),
              ElementsAre());
  EXPECT_EQ(store_.generation(), generation);
}

TEST_F(ConfigStoreTest, ExistenceRules) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)"));
  EXPECT_THAT(
      Refused(add_),
      ElementsAre("SERVICE_EXISTS changes[0].put_service.service: service TCP 10.99.0.1:80 exists already"));
  EXPECT_THAT(Refused(Server(R"(address: "10.1.0.1" port: 80)")),
              ElementsAre(HasSubstr("DESTINATION_EXISTS")));
  EXPECT_THAT(Refused(Server(R"(address: "10.1.0.2" port: 80)", "UPDATE")),
              ElementsAre(HasSubstr("DESTINATION_NOT_FOUND")));
  EXPECT_THAT(
      Refused(R"(changes { delete_service { key { protocol: UDP address: "10.99.0.1" port: 80 } } })"),
      ElementsAre(HasSubstr("SERVICE_NOT_FOUND")));
  EXPECT_THAT(Refused("changes { delete_destination { " + service_ + R"( address: "10.1.0.2" port: 80 } })"),
              ElementsAre(HasSubstr("DESTINATION_NOT_FOUND")));
  EXPECT_THAT(
      Refused(
          R"(changes { put_destination { service { protocol: TCP address: "10.99.0.1" port: 81 } destination { address: "10.1.0.1" port: 80 method: NAT } } })"),
      ElementsAre(HasSubstr("SERVICE_NOT_DEFINED")));
}

TEST_F(ConfigStoreTest, AllOrNothing) {
  EXPECT_THAT(
      Refused(add_ + Server(R"(address: "10.1.0.1" port: 80)") +
              Server(R"(address: "10.1.0.2" port: 99999)")),
      ElementsAre("OUT_OF_RANGE_VALUE changes[2].put_destination.destination.port: 99999: must be 0..65535"));
  EXPECT_EQ(store_.generation(), 0u);
}

TEST_F(ConfigStoreTest, AnEmptyChangeIsNoChange) {
  EXPECT_THAT(Refused("changes {}"), ElementsAre(HasSubstr("is empty")));
}

TEST_F(ConfigStoreTest, ExpectedGeneration) {
  Changed(add_);
  EXPECT_THAT(
      Refused("expected_generation: 7 " + Server(R"(address: "10.1.0.1" port: 80)")),
      ElementsAre("GENERATION_MISMATCH expected_generation: 7: the configuration is at generation 1"));
  Changed("expected_generation: 1 " + Server(R"(address: "10.1.0.1" port: 80)"));
}

TEST_F(ConfigStoreTest, DryRunSaysAndDoesNothing) {
  EXPECT_THAT(Changed("dry_run: true " + add_), ElementsAre("added service TCP 10.99.0.1:80"));
  EXPECT_EQ(store_.generation(), 0u);
  EXPECT_EQ(store_.Config().config().services_size(), 0);
  EXPECT_EQ(published_, nullptr);
}

TEST_F(ConfigStoreTest, OwnersAreNamedWhenTheyConflict) {
  Changed("owner: KUBERNETES " + add_);
  EXPECT_THAT(Refused("changes { delete_service { " + key_ + " } }"),
              ElementsAre("OWNED_BY_ANOTHER changes[0].delete_service: service TCP 10.99.0.1:80 belongs to "
                          "kubernetes: cli may not change it"));
  EXPECT_THAT(Refused("owner: KERNEL " + Server(R"(address: "10.1.0.1" port: 80)")),
              ElementsAre(HasSubstr("belongs to kubernetes: kernel may not")));
  Changed("owner: KUBERNETES " + Server(R"(address: "10.1.0.1" port: 80)"));
}

TEST_F(ConfigStoreTest, TheOperatorMayChangeWhatTheFileBrought) {
  Changed("owner: FILE " + add_);
  Changed(Server(R"(address: "10.1.0.1" port: 80)"));
  EXPECT_EQ(store_.Config().config().services(0).owner(), v1::FILE);
}

TEST_F(ConfigStoreTest, ReplacingDestinationsKeepsThePlaceOfThoseThatStay) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)") + Server(R"(address: "10.1.0.2" port: 80)") +
          Server(R"(address: "10.1.0.3" port: 80)"));
  EXPECT_THAT(
      Changed("changes { put_service { replace_destinations: true service { " + key_ + R"( scheduler: "rr"
      destinations { address: "10.1.0.4" port: 80 method: NAT } destinations { address: "10.1.0.3" port: 80 method: NAT weight: 5 }
      destinations { address: "10.1.0.1" port: 80 method: NAT } } } })"),
      ElementsAre("deleted server 10.1.0.2:80 of TCP 10.99.0.1:80",
                  "edited server 10.1.0.3:80 of TCP 10.99.0.1:80",
                  "added server 10.1.0.4:80 of TCP 10.99.0.1:80"));
  const v1::ListServicesResponse list = *store_.ListServices({});
  std::string order;
  for (const v1::DestinationStatus& destination : list.services(0).destinations())
    order += destination.destination().address().back();
  EXPECT_EQ(order, "431") << "the newest first";
  EXPECT_THAT(Refused("changes { put_service { service { " + key_ +
                      R"( destinations { address: "10.1.0.4" port: 80 method: NAT } } } })"),
              ElementsAre(HasSubstr("replace_destinations")));
  EXPECT_THAT(
      Refused(
          "changes { put_service { replace_destinations: true service { " + key_ +
          R"( destinations { address: "10.1.0.4" port: 80 method: NAT } destinations { address: "10.1.0.4" port: 80 method: NAT } } } })"),
      ElementsAre(HasSubstr("listed twice")));
}

TEST_F(ConfigStoreTest, ChangesOfOneRequestSeeEachOther) {
  Changed(add_ + Server(R"(address: "10.1.0.1" port: 80)") + "changes { delete_service { " + key_ + " } } " +
          add_);
  EXPECT_EQ(store_.Config().config().services(0).destinations_size(), 0);
  Changed("changes { delete_all {} } " + add_ + Server(R"(address: "10.1.0.9" port: 80)"));
  EXPECT_EQ(store_.Config().config().services(0).destinations(0).address(), "10.1.0.9");
  Changed("changes { delete_all {} }");
  EXPECT_EQ(store_.Config().config().services_size(), 0);
  EXPECT_TRUE(published_->services.empty());
}

TEST_F(ConfigStoreTest, ClearingLeavesServicesOfOtherOwnersAlone) {
  const std::string other =
      R"(put_service { service { key { protocol: UDP address: "10.99.0.2" port: 53 } } })";
  Changed(add_);
  Changed("owner: KUBERNETES changes { " + other + " }");
  const auto cleared = Apply("changes { delete_all {} }");
  ASSERT_TRUE(cleared.ok());
  EXPECT_THAT(cleared->warnings(),
              ElementsAre(HasSubstr("1 service belongs to kubernetes and stayed as it is")));
  ASSERT_EQ(store_.Config().config().services_size(), 1);
  EXPECT_EQ(store_.Config().config().services(0).owner(), v1::KUBERNETES);
  const auto forced = Apply("changes { delete_all { force: true } }");
  ASSERT_TRUE(forced.ok());
  EXPECT_THAT(forced->warnings(), testing::IsEmpty());
  EXPECT_EQ(store_.Config().config().services_size(), 0);
  // The start-up file's are the operator's.
  Changed("owner: FILE changes { " + other + " }");
  Changed("changes { delete_all {} }");
  EXPECT_EQ(store_.Config().config().services_size(), 0);
}

// Servers of one service, added, edited and deleted at random in one request, against a plain list.
TEST_F(ConfigStoreTest, ServersOfOneRequestAreThoseOfAList) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(Apply("changes { delete_all {} } " + add_).ok());
    std::vector<std::pair<int, int>> expected;  // port and weight, in order
    std::string request;
    for (int step = 0; step < 60; ++step) {
      const int port = 1 + static_cast<int>(random() % 12), weight = static_cast<int>(random() % 100);
      const auto found = std::find_if(expected.begin(), expected.end(),
                                      [&](const auto& server) { return server.first == port; });
      if (step % 20 == 19) {  // now and then the service itself
        request +=
            "changes { put_service { replace_destinations: true service { " + key_ +
            R"( scheduler: "rr" destinations { address: "10.1.0.1" port: 5 weight: 1 method: NAT } } } } )";
        expected = {{5, 1}};
      } else if (found != expected.end() && random() % 2 == 0) {
        request += absl::StrCat("changes { delete_destination { ", service_,
                                " address: '10.1.0.1' port: ", port, " } } ");
        expected.erase(found);
      } else {
        request += Server(absl::StrCat("address: '10.1.0.1' port: ", port, " weight: ", weight), "UPSERT");
        if (found != expected.end()) found->second = weight;
        if (found == expected.end()) expected.emplace_back(port, weight);
      }
    }
    const auto applied = Apply(request);
    ASSERT_TRUE(applied.ok()) << applied.status();
    const v1::GetConfigResponse config = store_.Config();
    std::vector<std::pair<int, int>> servers;
    for (const v1::Destination& server : config.config().services(0).destinations())
      servers.emplace_back(server.port(), server.weight());
    ASSERT_EQ(servers, expected) << "round " << round;
  }
}

// What a restore takes grows as it does, whatever the machine: four times the servers in one service, not 16
// times the work.
TEST_F(ConfigStoreTest, ARestoreIsNotQuadratic) {
  const auto seconds = [&](int servers) {
    std::string request = "changes { delete_all {} } " + add_;
    for (int i = 0; i < servers; ++i)
      request += Server(absl::StrCat("address: '10.1.", i / 250, ".", 1 + i % 250, "' port: 80"));
    const v1::ApplyRequest parsed = Request(request);
    double least = 1e9;
    for (int i = 0; i < 3; ++i) {
      timespec begin, end;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
      DesiredState empty;
      StateChange change(empty, v1::CLI);
      Problems problems;
      for (const v1::Change& each : parsed.changes()) change.Apply(each, "", problems);
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
      EXPECT_FALSE(problems.Any());
      least = std::min(least, static_cast<double>(end.tv_sec - begin.tv_sec) +
                                  static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e9);
    }
    return least;
  };
  const double few = seconds(4000), many = seconds(16000);
  EXPECT_LT(many, 9 * few) << few << " and " << many << " seconds";
}

TEST_F(ConfigStoreTest, ListingOneService) {
  Changed(add_);
  v1::ListServicesRequest request;
  *request.mutable_key() = store_.Config().config().services(0).key();
  EXPECT_EQ(store_.ListServices(request)->services_size(), 1);
  request.mutable_key()->set_port(81);
  EXPECT_EQ(RefusalsOf(store_.ListServices(request).status()).refusals(0).reason(), v1::SERVICE_NOT_FOUND);
}

TEST_F(ConfigStoreTest, ManyWritersAtOnce) {
  Changed(add_);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 1; i <= 50; ++i) {
        const std::string server =
            "address: \"10.1." + std::to_string(writer) + "." + std::to_string(i) + "\" port: 80";
        ASSERT_TRUE(Apply(Server(server)).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(store_.generation(), 201u);
  EXPECT_EQ(publisher_.Current().snapshot->services.All()[0]->candidates.size(), 200u);
}

}  // namespace
}  // namespace sluice
