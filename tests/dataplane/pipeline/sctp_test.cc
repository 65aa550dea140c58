// SCTP: checksums, and packets that are too short.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class SctpTest : public testing::Test {
 protected:
  SctpTest() { Serve(5000); }
  void Serve(uint16_t server_port) {
    rig_.AddService("10.99.0.1", 80, Protocol::kSctp, "rr", {PipelineRig::Server("10.1.0.1", server_port)});
  }
  static Packet FromClient(const std::vector<uint8_t>& chunks) {
    return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Sctp(chunks);
  }

  PipelineRig rig_;
};

TEST_F(SctpTest, TheChecksumFollowsThePort) {
  const Outcome in = rig_.Send(FromClient({1}));
  EXPECT_EQ(Describe(in.frame), "10.0.0.1:1000 > 10.1.0.1:5000 sctp 1 ttl 63 len 40");
  EXPECT_EQ(ChecksumFaults(in.frame), "");
  const Outcome out = rig_.Send(Packet().From("10.1.0.1", 5000).To("10.0.0.1", 1000).Sctp({2, 0, 0}), 1);
  EXPECT_EQ(Describe(out.frame), "10.99.0.1:80 > 10.0.0.1:1000 sctp 2 ttl 63 len 56");
  EXPECT_EQ(ChecksumFaults(out.frame), "");
}

TEST_F(SctpTest, WithTheSamePortItIsLeftAsItIs) {
  Serve(80);
  rig_.AddService("10.99.0.1", 80, Protocol::kSctp, "rr", {PipelineRig::Server("10.1.0.2", 80)});
  EXPECT_EQ(ChecksumFaults(rig_.Send(FromClient({1})).frame), "");
  EXPECT_EQ(ChecksumFaults(rig_.Send(FromClient({1}).BreakTransportChecksum()).frame),
            "transport checksum is wrong")
      << "it is not verified";
}

TEST_F(SctpTest, TooShortForAChunk) {
  EXPECT_EQ(rig_.Send(FromClient({})).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropSctpTruncated), 1u);
}

TEST_F(SctpTest, ChunkLengthsThatLie) {
  for (const uint8_t length : {0, 1, 3, 4, 5, 255}) {
    FrameBytes frame = FromClient({10, 6}).Bytes();
    frame[14 + 20 + 12 + 2] = length == 255 ? 255 : 0;
    frame[14 + 20 + 12 + 3] = length;
    EXPECT_NE(rig_.Send(std::vector<FrameBytes>{frame}).front().where, "")
        << "and no byte beyond the packet was read";
  }
}

TEST_F(SctpTest, AnAssociationIsActiveOnlyWhenEstablished) {
  const DestinationLoad& load = *rig_.snapshot->services.All()[0]->candidates[0].load;
  rig_.Send(FromClient({1}));
  EXPECT_EQ(load.Total(), 1);
  EXPECT_EQ(load.Active(), 0);
  rig_.Send(Packet().From("10.1.0.1", 5000).To("10.0.0.1", 1000).Sctp({2}), 1);
  rig_.Send(FromClient({10}));
  rig_.Send(Packet().From("10.1.0.1", 5000).To("10.0.0.1", 1000).Sctp({11}), 1);
  EXPECT_EQ(load.Active(), 1);
  rig_.Advance(899);
  EXPECT_EQ(load.Total(), 1);
  rig_.Advance(2);
  EXPECT_EQ(load.Total(), 0);
}

}  // namespace
}  // namespace sluice
