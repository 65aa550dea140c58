// Which connections a worker tells of, for another balancer to have them, and when.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/announce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/pipeline/connection_life.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint8_t kSyn = 2, kAck = 16, kFin = 1, kRst = 4;

class AnnounceTest : public testing::Test {
 protected:
  void Serve(Protocol protocol, ForwardingMethod method = ForwardingMethod::kNat) {
    DestinationSpec server = PipelineRig::Server("10.1.0.1", 80);
    server.method = method;
    rig_.AddService("10.99.0.1", 80, protocol, "rr", {server});
  }
  void Tell(const SyncPolicy& policy) { rig_.worker->sync = policy; }
  void FromClient(uint8_t flags) { rig_.Send(Packet().From("10.0.0.1", 7).To("10.99.0.1", 80).Tcp(flags)); }
  void FromServer(uint8_t flags) { rig_.Send(Packet().From("10.1.0.1", 80).To("10.0.0.1", 7).Tcp(flags), 1); }
  void Datagram() { rig_.Send(Packet().From("10.0.0.1", 7).To("10.99.0.1", 80).Udp()); }
  void Establish() {
    FromClient(kSyn);
    FromServer(kSyn | kAck);
    FromClient(kAck);
  }
  // State and timeout of each that was told of since.
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    SyncUpdate update;
    while (rig_.worker->sync_queue.Pop(update)) {
      EXPECT_EQ(update.client.ToString(), "10.0.0.1");
      EXPECT_EQ(update.virtual_address.ToString(), "10.99.0.1");
      EXPECT_EQ(update.destination.ToString(), "10.1.0.1");
      EXPECT_EQ(update.client_port.ToHost(), 7);
      told.push_back(std::string(StateName(update.protocol, update.state)) + " " +
                     std::to_string(update.timeout_seconds) +
                     (update.flags & kConnectionInactive ? " inactive" : ""));
    }
    return told;
  }

  PipelineRig rig_;
};

TEST_F(AnnounceTest, NothingUnlessItIsWanted) {
  Serve(Protocol::kTcp);
  Establish();
  FromClient(kFin | kAck);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(AnnounceTest, AllAsSoonAsBothHaveSpokenAndWheneverTheirStateChanges) {
  Serve(Protocol::kTcp);
  Tell({.which = SyncPolicy::Which::kAll});
  FromClient(kSyn);
  FromServer(kSyn | kAck);
  EXPECT_THAT(Told(), IsEmpty()) << "half open";
  FromClient(kAck);
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126"));
  for (int i = 0; i < 100; ++i) FromClient(kAck);
  EXPECT_THAT(Told(), IsEmpty()) << "no news";
  FromServer(kFin | kAck);
  FromClient(kFin | kAck);
  const std::vector<std::string> closing = Told();
  ASSERT_FALSE(closing.empty());
  EXPECT_THAT(closing.back(), testing::HasSubstr("TIME_WAIT 151 inactive"));
  // Reset at once: it was never told of as established.
  rig_.Advance(200);
  Told();
  FromClient(kSyn);
  FromServer(kRst | kAck);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(AnnounceTest, DatagramsWithTheSecondOrAnAnswer) {
  Serve(Protocol::kUdp);
  Tell({.which = SyncPolicy::Which::kAll});
  Datagram();
  EXPECT_THAT(Told(), IsEmpty());
  Datagram();
  Datagram();
  EXPECT_THAT(Told(), ElementsAre("UDP 376 inactive"));
}

TEST_F(AnnounceTest, NearASwitchThoseThatAreBeingOpenedToo) {
  Serve(Protocol::kTcp);
  Serve(Protocol::kUdp);
  Tell({.which = SyncPolicy::Which::kAll, .half_open = true});
  FromClient(kSyn);
  EXPECT_THAT(Told(), ElementsAre("SYN_RECV 76"));
  Datagram();
  EXPECT_THAT(Told(), ElementsAre("UDP 376 inactive"));
  Datagram();
  EXPECT_THAT(Told(), ElementsAre("UDP 376 inactive"));
  Datagram();
  EXPECT_THAT(Told(), IsEmpty()) << "it is one now";
}

TEST_F(AnnounceTest, OfTheFirstPacketBeforeItGoesOn) {
  struct Listener final : SyncListener {
    explicit Listener(const PipelineRig& of) : rig(of) {}
    bool Tell(const SyncUpdate& update) override {
      told.push_back(std::to_string(rig.worker->output.wire[1].count) + " gone, " +
                     std::string(StateName(update.protocol, update.state)));
      return has_time;
    }
    const PipelineRig& rig;
    bool has_time = true;
    std::vector<std::string> told;
  } listener(rig_);
  rig_.worker->sync_listener = &listener;
  Serve(Protocol::kTcp);
  Serve(Protocol::kUdp);
  Tell({.which = SyncPolicy::Which::kAll, .half_open = true});
  FromClient(kSyn);
  FromServer(kSyn | kAck);
  EXPECT_THAT(Told(), IsEmpty()) << "it is known already";
  FromClient(kAck);
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126")) << "its handshake is over: no hurry";
  Datagram();
  Datagram();
  EXPECT_THAT(Told(), ElementsAre("UDP 376 inactive"));
  EXPECT_THAT(listener.told, ElementsAre("0 gone, SYN_RECV", "0 gone, UDP"));
  rig_.Advance(1000);
  Told();
  listener.has_time = false;
  FromClient(kSyn);
  EXPECT_EQ(listener.told.size(), 3u);
  EXPECT_THAT(Told(), ElementsAre("SYN_RECV 76"));
}

TEST_F(AnnounceTest, AgainBeforeWhoeverWasToldForgets) {
  Serve(Protocol::kTcp);
  Tell({.which = SyncPolicy::Which::kAll});
  Establish();
  Told();
  rig_.Advance(100);
  FromClient(kAck);
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126")) << "after a minute, in case the first was lost";
  for (int i = 0; i < 7; ++i) {
    rig_.Advance(100);
    FromClient(kAck);
  }
  EXPECT_THAT(Told(), IsEmpty());
  for (int i = 0; i < 3; ++i) {
    rig_.Advance(100);
    FromClient(kAck);
  }
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126")) << "after 900 seconds, which are told as 1126";
}

TEST_F(AnnounceTest, AfterSoManyPackets) {
  Serve(Protocol::kTcp);
  Tell({.packets = 5, .which = SyncPolicy::Which::kPackets});
  Establish();
  for (int i = 0; i < 2; ++i) FromClient(kAck);
  EXPECT_THAT(Told(), IsEmpty()) << "four of the client's";
  FromClient(kAck);
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126"));
  for (int i = 0; i < 20; ++i) FromClient(kAck);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(AnnounceTest, ThoseThatHaveLivedLong) {
  Serve(Protocol::kTcp);
  Tell({.seconds = 10, .which = SyncPolicy::Which::kLong});
  Establish();
  rig_.Advance(8);
  EXPECT_THAT(Told(), IsEmpty());
  rig_.Advance(4);
  EXPECT_THAT(Told(), ElementsAre("ESTABLISHED 1126"));
}

TEST_F(AnnounceTest, ItsEndWhenItGoesBeforeItsTime) {
  Serve(Protocol::kTcp);
  Tell({.which = SyncPolicy::Which::kAll});
  Establish();
  Told();
  DropConnection(*rig_.worker, rig_.worker->connections.ByIndex(1));
  EXPECT_THAT(Told(), ElementsAre("CLOSE 1 inactive"));
}

TEST_F(AnnounceTest, NeverWithFullNat) {
  rig_.SetGlobal({.local_addresses = {{.address = *IpAddress::Parse("10.1.0.100")}}});
  Serve(Protocol::kUdp, ForwardingMethod::kFullNat);
  Tell({.which = SyncPolicy::Which::kAll});
  for (int i = 0; i < 3; ++i) Datagram();
  EXPECT_EQ(rig_.worker->connections.size(), 1u);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST(AnnounceAllTest, TheOldestMakeRoom) {
  PipelineRig rig({.connection_capacity = 1 << 16});
  rig.AddService("10.99.0.1", 80, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 80)});
  rig.worker->sync = {.which = SyncPolicy::Which::kAll};
  for (uint32_t i = 0; i < Worker::kSyncQueue + 100; ++i) {
    const std::string client = "10.0." + std::to_string(i >> 8 & 255) + "." + std::to_string(i & 255);
    for (int times = 0; times < 2; ++times)
      rig.Send(Packet().From(client, static_cast<uint16_t>(1000 + (i >> 16))).To("10.99.0.1", 80).Udp());
  }
  SyncUpdate update;
  uint64_t told = 0;
  while (rig.worker->sync_queue.Pop(update)) ++told;
  EXPECT_EQ(told + rig.worker->sync_queue.lost(), Worker::kSyncQueue + 100);
  EXPECT_GE(rig.worker->sync_queue.lost(), 100u);
}

TEST_F(AnnounceTest, NothingOfWhatLivesForOnePacket) {
  for (const std::string family : {"10", "fd00"}) {
    const bool is_v6 = family == "fd00";
    const std::string address = is_v6 ? "fd00:99::1" : "10.99.0.1";
    rig_.AddService({.key = {*IpAddress::Parse(address), Be16::FromHost(53), Protocol::kUdp},
                     .scheduler = "rr",
                     .one_packet = true,
                     .destinations = {PipelineRig::Server(is_v6 ? "fd00:b::1" : "10.1.0.1", 53)}});
    Tell({.packets = 1, .which = SyncPolicy::Which::kPackets});
    const Outcome sent = rig_.Send(Packet().From(is_v6 ? "fd00:a::1" : "10.0.0.1", 7).To(address, 53).Udp());
    EXPECT_EQ(sent.where, "wire 1");
    EXPECT_THAT(Told(), IsEmpty());
  }
}

}  // namespace
}  // namespace sluice
