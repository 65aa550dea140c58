// How often a packet makes another worker wait: the locked instructions on its way, each of which takes a
// cache line that workers share. The numbers are those of "Shared lines" in dataplane/README.md.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <ostream>

#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/pipeline.h"
#include "tests/support/eal.h"
#include "tests/support/instructions.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class SharedLinesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanCountInstructions()) GTEST_SKIP() << "a sanitizer's own instructions would count";
  }

  void Serve(const std::string& scheduler, int servers, Protocol protocol = Protocol::kTcp,
             const PersistenceSpec& persistence = {}) {
    ServiceSpec spec{.key = {{*IpAddress::Parse("10.99.0.1"), Be16::FromHost(80), protocol}},
                     .scheduler = scheduler,
                     .persistence = persistence};
    for (int i = 1; i <= servers; ++i)
      spec.destinations.push_back(PipelineRig::Server("10.1.0.1", static_cast<uint16_t>(80 + i)));
    rig_.AddService(spec);
  }

  // LOCKed instructions for one packet, alone in its burst, from its arrival until it is ready to be sent.
  int Locked(const Packet& packet, uint16_t port = 0) {
    const FrameBytes frame = packet.Bytes();
    rte_mbuf* buffer = rte_pktmbuf_alloc(PacketPoolForTest());
    buffer->port = port;
    std::memcpy(rte_pktmbuf_append(buffer, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    batch_->packet[0] = buffer;
    batch_->count = 1;
    batch_->from_peer = false;
    const int locked = LockedInstructionsOf([&] { ProcessBurst(*rig_.worker, *batch_); });
    PacketList& sent = rig_.worker->output.wire[1 - port];
    EXPECT_EQ(sent.count, 1) << "it was to go on";
    if (sent.count == 1) server_port_ = PortIn(buffer, port);
    sent.count = 0;
    rte_pktmbuf_free(buffer);
    return locked;
  }
  int LockedFromClient(uint16_t client_port, uint8_t flags) {
    return Locked(Packet().From("10.0.0.1", client_port).To("10.99.0.1", 80).Tcp(flags));
  }
  int LockedFromServer(uint16_t client_port, uint8_t flags) {
    return Locked(Packet().From("10.1.0.1", server_port_).To("10.0.0.1", client_port).Tcp(flags), 1);
  }

  PipelineRig rig_;
  std::unique_ptr<Batch> batch_ = std::make_unique<Batch>();
  uint16_t server_port_ = 0;  // of whoever got the last packet from a client

 private:
  // Towards a server the destination's port, towards a client still that of the server before.
  uint16_t PortIn(rte_mbuf* buffer, uint16_t port) const {
    if (port == 1) return server_port_;
    constexpr int kDestinationPort = sizeof(EthernetHeader) + sizeof(Ipv4Header) + 2;
    return rte_pktmbuf_mtod_offset(buffer, const Be16*, kDestinationPort)->ToHost();
  }
};

struct Life {
  int opening = 0;      // the first packet
  int established = 0;  // the two packets that make it so
  int packets = 0;      // all packets of an established connection
  int closing = 0;      // the client's FIN
  int closed = 0;       // the server's
  int removal = 0;

  friend bool operator==(const Life&, const Life&) = default;
  friend void PrintTo(const Life& life, std::ostream* out) {
    *out << "{.opening = " << life.opening << ", .established = " << life.established
         << ", .packets = " << life.packets << ", .closing = " << life.closing
         << ", .closed = " << life.closed << ", .removal = " << life.removal << "}";
  }
};

// The counter counts: a test of it that could not fail would make the others worthless.
TEST_F(SharedLinesTest, CountsWhatItShould) {
  std::atomic<uint64_t> number{0};
  std::atomic<uint16_t> half{0};
  EXPECT_EQ(LockedInstructionsOf([&] { number.store(1, std::memory_order_relaxed); }), 0);
  EXPECT_EQ(LockedInstructionsOf([&] { number.fetch_add(1, std::memory_order_relaxed); }), 1);
  EXPECT_EQ(LockedInstructionsOf([&] { number.exchange(1, std::memory_order_relaxed); }), 1);
  EXPECT_EQ(LockedInstructionsOf([&] { half.fetch_or(1); }), 1);
  EXPECT_EQ(LockedInstructionsOf([&] {
              for (int i = 0; i < 10; ++i) half.fetch_add(1);
            }),
            10);
}

class TcpSharedLinesTest : public SharedLinesTest {
 protected:
  Life Live(uint16_t port) {
    Life life;
    life.opening = LockedFromClient(port, kTcpSyn);
    life.established = LockedFromServer(port, kTcpSyn | kTcpAck) + LockedFromClient(port, kTcpAck);
    for (int i = 0; i < 4; ++i)
      life.packets += LockedFromClient(port, kTcpAck) + LockedFromServer(port, kTcpAck);
    life.closing = LockedFromClient(port, kTcpFin | kTcpAck);
    life.closed = LockedFromServer(port, kTcpFin | kTcpAck);
    Connection& connection = *batch_->connection[0];
    life.removal = LockedInstructionsOf([&] { DropConnection(*rig_.worker, connection); });
    EXPECT_EQ(rig_.worker->connections.size(), 0u);
    return life;
  }
  // The second of two: what happens but once has happened.
  Life LiveTwice() {
    Live(1000);
    return Live(1001);
  }
};

TEST_F(TcpSharedLinesTest, RoundRobin) {
  Serve("rr", 3);
  EXPECT_EQ(LiveTwice(), (Life{.opening = 2, .closing = 1, .removal = 1}));
}

TEST_F(TcpSharedLinesTest, RoundRobinAmongMany) {
  Serve("rr", 100);
  EXPECT_EQ(LiveTwice(), (Life{.opening = 2, .closing = 1, .removal = 1}));
}

TEST_F(TcpSharedLinesTest, WeightedLeastConnection) {
  Serve("wlc", 3);
  EXPECT_EQ(LiveTwice(), (Life{.opening = 1, .closing = 1, .removal = 1}));
}

// The scheduler's lock, and the changes of loads that it watches.
TEST_F(TcpSharedLinesTest, WeightedLeastConnectionAmongMany) {
  Serve("wlc", static_cast<int>(kManyCandidates));
  EXPECT_EQ(LiveTwice(), (Life{.opening = 3, .closing = 2, .removal = 2}));
}

// The template's lock when a connection comes, is established, and goes.
TEST_F(TcpSharedLinesTest, PersistentClient) {
  Serve("rr", 3, Protocol::kTcp, {.timeout_seconds = 300});
  EXPECT_EQ(Live(1000), (Life{.opening = 4, .established = 1, .closing = 1, .removal = 2}))
      << "opening: the template's lock, the count of templates, rr, the load";
  EXPECT_EQ(Live(1001), (Life{.opening = 2, .established = 1, .closing = 1, .removal = 2}));
}

TEST_F(SharedLinesTest, Udp) {
  Serve("rr", 3, Protocol::kUdp);
  const auto from_client = [](uint16_t port) {
    return Packet().Udp().From("10.0.0.1", port).To("10.99.0.1", 80);
  };
  Locked(from_client(1000));
  EXPECT_EQ(Locked(from_client(1001)), 2) << "rr, the load";
  const Packet answer = Packet().Udp().From("10.1.0.1", server_port_).To("10.0.0.1", 1001);
  EXPECT_EQ(Locked(from_client(1001)), 0);
  EXPECT_EQ(Locked(answer, 1), 0);
  EXPECT_EQ(Locked(from_client(1001)), 0);
  Connection& connection = *batch_->connection[0];
  EXPECT_EQ(LockedInstructionsOf([&] { DropConnection(*rig_.worker, connection); }), 1);
}

}  // namespace
}  // namespace sluice
