// Network address translation: what goes in, what comes out, in both directions.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class NatTest : public testing::Test {
 protected:
  NatTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.2", 5353)});
  }
  static Packet FromClient() { return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80); }
  static Packet FromServer() {
    return Packet().From("10.1.0.1", 8080).To("10.0.0.1", 1000).Macs(kMacOfServer, kMacOfSluice);
  }
  static Packet Question() {
    return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Udp().Payload("question");
  }

  PipelineRig rig_;
};

TEST_F(NatTest, Tcp) {
  const Outcome in = rig_.Send(FromClient().Tcp(kTcpSyn).Ttl(64));
  EXPECT_EQ(in.where, "wire 1");
  EXPECT_EQ(Describe(in.frame), "10.0.0.1:1000 > 10.1.0.1:8080 tcp 02 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(in.frame), "");
  // The next hop's frame: from our port to the real server.
  EXPECT_EQ(FrameBytes(in.frame.begin(), in.frame.begin() + 14),
            (FrameBytes{2, 0, 0, 0, 0x51, 1, 2, 0, 0, 0, 0, 1, 8, 0}));

  const Outcome out = rig_.Send(FromServer().Tcp(kTcpSyn | kTcpAck).Ttl(60), 1);
  EXPECT_EQ(out.where, "wire 0");
  EXPECT_EQ(Describe(out.frame), "10.99.0.1:80 > 10.0.0.1:1000 tcp 12 ttl 59 len 40");
  EXPECT_EQ(ChecksumFaults(out.frame), "");
}

TEST_F(NatTest, PayloadAndOptionsStay) {
  const Packet packet = FromClient().Tcp(kTcpSyn).IpOptions({1, 1, 1, 0}).Payload("every byte of this");
  const Outcome in = rig_.Send(packet);
  EXPECT_EQ(ChecksumFaults(in.frame), "");
  const FrameBytes before = packet.Bytes();
  EXPECT_EQ(FrameBytes(in.frame.begin() + 34, in.frame.begin() + 38), (FrameBytes{1, 1, 1, 0}));
  EXPECT_EQ(FrameBytes(in.frame.begin() + 58, in.frame.end()), FrameBytes(before.begin() + 58, before.end()));
}

TEST_F(NatTest, Udp) {
  const Outcome in = rig_.Send(Question());
  EXPECT_EQ(Describe(in.frame), "10.0.0.1:1000 > 10.1.0.2:5353 udp ttl 63 len 36");
  EXPECT_EQ(ChecksumFaults(in.frame), "");
  const Outcome out =
      rig_.Send(Packet().From("10.1.0.2", 5353).To("10.0.0.1", 1000).Udp().Payload("answer"), 1);
  EXPECT_EQ(Describe(out.frame), "10.99.0.1:53 > 10.0.0.1:1000 udp ttl 63 len 34");
  EXPECT_EQ(ChecksumFaults(out.frame), "");
}

TEST_F(NatTest, AZeroUdpChecksumIsReplacedByAComputedOne) {
  for (const std::string& payload :
       std::initializer_list<std::string>{"", "x", "xy", "an odd number", std::string(1400, 'z')}) {
    EXPECT_EQ(ChecksumFaults(rig_.Send(Question().Payload(payload).ZeroUdpChecksum()).frame), "");
    EXPECT_EQ(ChecksumFaults(rig_.Send(Packet()
                                           .From("10.1.0.2", 5353)
                                           .To("10.0.0.1", 1000)
                                           .Udp()
                                           .Payload(payload)
                                           .ZeroUdpChecksum(),
                                       1)
                                 .frame),
              "");
  }
}

TEST_F(NatTest, ABrokenChecksumStaysBroken) {
  rig_.Send(FromClient().Tcp(kTcpSyn));
  EXPECT_EQ(ChecksumFaults(rig_.Send(FromClient().Tcp(kTcpAck).BreakTransportChecksum()).frame),
            "transport checksum is wrong");
  EXPECT_EQ(ChecksumFaults(rig_.Send(Question().BreakTransportChecksum()).frame),
            "transport checksum is wrong");
}

// Incremental updates against sums made from scratch, all the corners of one's complement included.
TEST_F(NatTest, ChecksumsOfManyPackets) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 50'000; ++i) {
    const std::string client =
        "10.0." + std::to_string(random() % 256) + "." + std::to_string(1 + random() % 254);
    const auto port = static_cast<uint16_t>(21 + random() % 65515);  // 20 is FTP's
    std::string payload(random() % 4, '\0');
    for (char& c : payload) c = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    Packet in = Packet()
                    .From(client, port)
                    .To("10.99.0.1", 53)
                    .Udp()
                    .Payload(payload)
                    .Ttl(static_cast<uint8_t>(2 + random() % 254));
    ASSERT_EQ(ChecksumFaults(rig_.Send(in).frame), "") << client << ":" << port;
    Packet out = Packet().From("10.1.0.2", 5353).To(client, port).Udp().Payload(payload);
    const Outcome answer = rig_.Send(out, 1);
    ASSERT_EQ(answer.where, "wire 0");
    ASSERT_EQ(ChecksumFaults(answer.frame), "") << client << ":" << port;
    if (i % 500 == 0) rig_.Advance(400);  // make room in the table
  }
}

TEST_F(NatTest, TheOtherPacketsOfABurstFindTheConnectionItsFirstMade) {
  const std::vector<Outcome> outcomes =
      rig_.Send({FromClient().Tcp(kTcpSyn).Bytes(), FromClient().Tcp(kTcpAck).Bytes(),
                 FromClient().Tcp(kTcpSyn).Bytes()});
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.where, "wire 1");
  EXPECT_EQ(rig_.Count(Counter::kConnectionsCreated), 1u);
}

}  // namespace
}  // namespace sluice
