// Which changes bring sluiced to what is wanted.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/program.h"

#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

v1::Service Virtual(const ObjectName& of, const std::string& address, const std::vector<std::string>& servers,
                    v1::Protocol protocol = v1::TCP) {
  v1::Service service;
  service.mutable_key()->set_protocol(protocol);
  service.mutable_key()->set_address(address);
  service.mutable_key()->set_port(80);
  service.set_owner(v1::KUBERNETES);
  service.mutable_kubernetes()->set_namespace_(of.name_space);
  service.mutable_kubernetes()->set_service(of.name);
  for (const std::string& server : servers) {
    v1::Destination& destination = *service.add_destinations();
    destination.set_address(server);
    destination.set_port(8080);
    destination.set_weight(1);
  }
  return service;
}

// "+10.0.0.1 a b:0", "-10.0.0.1".
std::string Describe(const std::vector<v1::Change>& changes) {
  std::string text;
  for (const v1::Change& change : changes) {
    if (!text.empty()) text += "; ";
    if (change.has_delete_service()) {
      text += "-" + change.delete_service().key().address();
      continue;
    }
    text += "+" + change.put_service().service().key().address();
    for (const v1::Destination& each : change.put_service().service().destinations())
      text += " " + each.address() + (each.weight() == 0 ? ":0" : "");
  }
  return text;
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() { program_.WantOnly({}); }
  std::string Next() {
    const std::string text = Describe(program_.NextChanges(100));
    program_.Taken();
    return text;
  }
  const ObjectName web_{"ns1", "web"}, other_{"ns1", "zoo"};
  Program program_;
};

TEST_F(ProgramTest, OnlyDifferences) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"}), Virtual(web_, "10.0.0.2", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1; +10.0.0.2 10.1.0.1");
  EXPECT_EQ(Next(), "");
  program_.Want(
      web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"}), Virtual(web_, "10.0.0.2", {"10.1.0.1", "10.1.0.2"})});
  EXPECT_EQ(Next(), "+10.0.0.2 10.1.0.1 10.1.0.2");
  program_.Want(web_, {Virtual(web_, "10.0.0.2", {"10.1.0.1", "10.1.0.2"})});
  EXPECT_EQ(Next(), "-10.0.0.1");
}

TEST_F(ProgramTest, WhoLeavesIsDrainedUnlessItIsUdp) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2"}),
                       Virtual(web_, "10.0.0.2", {"10.1.0.1", "10.1.0.2"}, v1::UDP)});
  Next();
  program_.Want(web_,
                {Virtual(web_, "10.0.0.1", {"10.1.0.1"}), Virtual(web_, "10.0.0.2", {"10.1.0.1"}, v1::UDP)});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.2:0; +10.0.0.2 10.1.0.1");
  EXPECT_EQ(Next(), "") << "it has connections";
  ASSERT_EQ(program_.Draining().size(), 1u);
  program_.HasDrained(program_.Draining()[0], "10.1.0.2", 8080);
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1");
  EXPECT_TRUE(program_.Draining().empty());
}

TEST_F(ProgramTest, WhosePodHasEndedHasDrained) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2", "10.1.0.3"})});
  Next();
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})}, {{"10.1.0.2", 8080}});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.2:0 10.1.0.3:0");
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})}, {{"10.1.0.2", 8080}});
  EXPECT_EQ(Next(), "") << "its grace period lasts";
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.3:0") << "the other has not been seen ending";
  // The last one, which served until its end.
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})}, {{"10.1.0.1", 8080}});
  Next();
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.3:0");
}

// As on the host's network: the next pod has the address and port of the one that ended.
TEST_F(ProgramTest, APodIsDrainedThoughAnotherEndedAtItsAddress) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2"})}, {{"10.1.0.2", 8080}});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.2");
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2"})});
  EXPECT_EQ(Next(), "") << "the first has ended, the second serves";
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.2:0");
  // Another port of the same address is another server.
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})}, {{"10.1.0.2", 9090}});
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "");
}

TEST_F(ProgramTest, WhoComesBackWhileItDrainsIsThere) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2"})});
  Next();
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  Next();
  program_.HasDrained(program_.Draining()[0], "10.1.0.2", 8080);
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1", "10.1.0.2"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.2");
}

TEST_F(ProgramTest, OfTwoThatClaimTheSameTheFirstByNameHasIt) {
  program_.Want(other_, {Virtual(other_, "10.0.0.1", {"10.1.0.9"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.9");
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1 10.1.0.9:0");
  program_.Want(web_, {});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.9 10.1.0.1:0");
}

TEST_F(ProgramTest, WhatEverybodyNeedsComesFirst) {
  const ObjectName api = {"default", "kubernetes"}, dns = {"kube-system", "kube-dns"};
  for (int i = 0; i < 9; ++i) {
    const ObjectName name = {"a", "service-" + std::to_string(i)};
    program_.Want(name, {Virtual(name, "10.0.1." + std::to_string(i), {"10.1.0.1"})});
  }
  program_.Want(api, {Virtual(api, "10.96.0.1", {"192.168.1.1"})});
  program_.Want(dns, {Virtual(dns, "10.96.0.10", {"10.1.0.5"})});
  EXPECT_EQ(Next(), "+10.96.0.1 192.168.1.1; +10.96.0.10 10.1.0.5");
  EXPECT_EQ(program_.NextChanges(8).size(), 4u);
}

TEST_F(ProgramTest, AfterARefusalAllAreTriedAgainButTheOneThatIsWrong) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  program_.Want(other_, {Virtual(other_, "127.0.0.1", {"10.1.0.1"})});
  EXPECT_EQ(Describe(program_.NextChanges(9)), "+10.0.0.1 10.1.0.1; +127.0.0.1 10.1.0.1");
  EXPECT_EQ(program_.LeaveOut(1).what, "TCP 127.0.0.1 port 80");
  program_.Refused();
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1");
  EXPECT_EQ(Next(), "");
  program_.Want(other_, {Virtual(other_, "127.0.0.1", {"10.1.0.2"})});
  EXPECT_EQ(Next(), "+127.0.0.1 10.1.0.2") << "it is another now";
}

TEST_F(ProgramTest, WhatWasLeftOutIsTriedAgain) {
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"})});
  program_.NextChanges(9);
  EXPECT_EQ(program_.LeaveOut(0).service, web_);
  program_.Refused();
  EXPECT_EQ(Next(), "");
  program_.TryLeftOutAgain();
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1");
}

TEST_F(ProgramTest, WhatIsAtExcludedAddressesIsLeftAlone) {
  v1::Config config;
  *config.add_services() = Virtual(web_, "4.4.4.4", {"10.1.0.1", "10.1.0.2"});
  *config.add_services() = Virtual(web_, "5.5.5.5", {"10.1.0.1"});
  program_.Begin(config, {*ParsePrefix("3.3.3.0/24"), *ParsePrefix("4.4.4.4/32")});
  EXPECT_EQ(Next(), "-5.5.5.5");
}

TEST_F(ProgramTest, NothingGoesBeforeAllIsKnown) {
  v1::Config config;
  *config.add_services() = Virtual(web_, "10.0.0.1", {"10.1.0.1"});
  *config.add_services() = Virtual(other_, "10.0.0.2", {"10.1.0.1"});
  Program program;
  program.Begin(config, {});
  program.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.2"})});
  EXPECT_EQ(Describe(program.NextChanges(9)), "+10.0.0.1 10.1.0.2 10.1.0.1:0");
  program.Taken();
  EXPECT_TRUE(program.NextChanges(9).empty());
  program.WantOnly({web_});
  EXPECT_EQ(Describe(program.NextChanges(9)), "-10.0.0.2");
}

TEST_F(ProgramTest, ManyRealServersAreManyRequests) {
  for (int i = 0; i < 4; ++i) {
    const ObjectName name = {"a", "service-" + std::to_string(i)};
    program_.Want(name, {Virtual(name, "10.0.1." + std::to_string(i), {"10.1.0.1", "10.1.0.2", "10.1.0.3"})});
  }
  EXPECT_EQ(program_.NextChanges(5).size(), 2u);
  EXPECT_EQ(program_.NextChanges(5).size(), 2u);
}

TEST_F(ProgramTest, AtTheStartOnlyWhatIsDifferentInSluiced) {
  v1::Config config;
  *config.add_services() = Virtual(web_, "10.0.0.1", {"10.1.0.1"});
  config.mutable_services(0)->mutable_destinations(0)->set_weight(0);
  *config.add_services() = Virtual(web_, "10.0.0.2", {"10.1.0.1"});
  *config.add_services() = Virtual(other_, "10.0.0.3", {"10.1.0.1"});
  *config.add_services() = Virtual(other_, "10.0.0.4", {"10.1.0.1"});
  config.mutable_services(3)->set_owner(v1::CLI);
  program_.Begin(config, {});
  program_.Want(web_, {Virtual(web_, "10.0.0.1", {"10.1.0.1"}), Virtual(web_, "10.0.0.2", {"10.1.0.1"})});
  EXPECT_EQ(Next(), "+10.0.0.1 10.1.0.1; -10.0.0.3") << "what others made is not touched";
}

}  // namespace
}  // namespace sluice::kubernetes
