// Connections that another balancer has had until now go on here as they were.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/adopt_query.h"

#include <gtest/gtest.h>

#include "dataplane/runtime/connection_query.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

constexpr uint8_t kAck = 16;

class AdoptQueryTest : public testing::Test {
 protected:
  void Serve(ForwardingMethod method) {
    rig_.SetGlobal({.local_addresses = {{.address = *IpAddress::Parse("10.1.0.100")}}});
    DestinationSpec first = PipelineRig::Server("10.1.0.1", 8080),
                    second = PipelineRig::Server("10.1.0.2", 8080);
    first.method = second.method = method;
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {first, second});
  }
  AdoptedConnection Established(const std::string& client) const {
    return {.flow = {*IpAddress::Parse(client), *IpAddress::Parse("10.99.0.1"), Be16::FromHost(7),
                     Be16::FromHost(80), Protocol::kTcp},
            .server = {*IpAddress::Parse("10.1.0.2"), Be16::FromHost(8080), Protocol::kTcp},
            .local_address = {},
            .local_port = {},
            .destination_id =
                rig_.snapshot->FindService(*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), Protocol::kTcp)
                    ->candidates[1]
                    .id,
            .state = kTcpEstablished,
            .expires_seconds = 600};
  }
  AdoptedConnection FullNat(const std::string& client, const std::string& local, uint16_t port) const {
    AdoptedConnection adopted = Established(client);
    adopted.local_address = *IpAddress::Parse(local);
    adopted.local_port = Be16::FromHost(port);
    return adopted;
  }
  // How many were made.
  int Adopt(const AdoptedConnection& connection) {
    query_.count = 1;
    query_.connections[0] = connection;
    query_.Answer(*rig_.worker);
    return query_.made;
  }
  std::string Forwarded(const std::string& client) {
    const Outcome outcome = rig_.Send(Packet().From(client, 7).To("10.99.0.1", 80).Tcp(kAck));
    return outcome.where == "wire 1" ? Describe(outcome.frame) : outcome.where;
  }

  PipelineRig rig_;
  AdoptQuery query_;
};

TEST_F(AdoptQueryTest, ItGoesOnInTheMiddle) {
  Serve(ForwardingMethod::kNat);
  EXPECT_EQ(Forwarded("10.0.0.1").find("10.1.0"), std::string::npos) << "nobody knows it";
  EXPECT_EQ(Adopt(Established("10.0.0.1")), 1);
  EXPECT_NE(Forwarded("10.0.0.1").find("10.1.0.2:8080"), std::string::npos);
  EXPECT_EQ(Adopt(Established("10.0.0.1")), 0);
  EXPECT_EQ(query_.present, 1);
}

TEST_F(AdoptQueryTest, WhatWasLentAndDoesNotComeBackHasEnded) {
  Serve(ForwardingMethod::kNat);
  for (const char* client : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) Adopt(Established(client));
  rig_.worker->sync = {.which = SyncPolicy::Which::kAll};
  SyncUpdate update;
  LendConnections lend;
  lend.Answer(*rig_.worker);
  EXPECT_TRUE(lend.at_end);
  Adopt(Established("10.0.0.2"));
  ForgetConnections forget([](const Connection& each) { return each.Has(kConnectionLent); });
  forget.Answer(*rig_.worker);
  EXPECT_TRUE(forget.at_end);
  EXPECT_EQ(forget.forgotten, 2u);
  EXPECT_FALSE(rig_.worker->sync_queue.Pop(update)) << "who has them knows how they ended";
  EXPECT_NE(Forwarded("10.0.0.2").find("10.1.0.2:8080"), std::string::npos);
  EXPECT_EQ(Forwarded("10.0.0.1").find("10.1.0"), std::string::npos);
}

TEST_F(AdoptQueryTest, FullNatHasThePortItHad) {
  Serve(ForwardingMethod::kFullNat);
  EXPECT_EQ(Adopt(FullNat("10.0.0.1", "10.1.0.100", 5000)), 1);
  EXPECT_EQ(Forwarded("10.0.0.1").substr(0, 15), "10.1.0.100:5000");
  EXPECT_EQ(Adopt(FullNat("10.0.0.2", "10.1.0.100", 5000)), 0) << "it is taken";
  EXPECT_EQ(Adopt(FullNat("10.0.0.2", "10.1.0.101", 5000)), 0) << "no such local address";
  EXPECT_EQ(Adopt(FullNat("10.0.0.2", "10.1.0.100", 80)), 0) << "nobody's port";
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  rig_.Advance(1000);
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(Adopt(FullNat("10.0.0.2", "10.1.0.100", 5000)), 1) << "it was given back";
}

}  // namespace
}  // namespace sluice
