// Packets larger than the next link: in pieces if they may be, or else their sender is told.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "dataplane/pipeline/split.h"
#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class SplitTest : public testing::Test {
 protected:
  void Serve(uint16_t mtu, ForwardingMethod method = ForwardingMethod::kNat) {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    spec.links[2].mtu = mtu;
    spec.routes[1].source = *IpAddress::Parse("10.1.0.254");
    rig_.SetForwarding(spec);
    DestinationSpec server = PipelineRig::Server("10.1.0.1", 5353);
    server.method = method;
    rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {server});
  }
  static Packet Large(size_t payload) {
    std::string bytes;
    for (size_t i = 0; i < payload; ++i) bytes += static_cast<char>(i * 11);
    return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Udp().Payload(bytes);
  }
  static const Ipv4Header& IpOf(const FrameBytes& frame) {
    return *reinterpret_cast<const Ipv4Header*>(frame.data() + 14);
  }
  // What follows the IP header in the packet that the pieces make.
  FrameBytes Joined(size_t header = 20) {
    FrameBytes all;
    for (const Outcome& piece : rig_.pieces()) {
      EXPECT_EQ(piece.where, "wire 1");
      const Ipv4Header& ip = IpOf(piece.frame);
      EXPECT_EQ((ip.flags_and_offset.ToHost() & 0x1fff) * 8u, all.size());
      EXPECT_EQ((ip.flags_and_offset.ToHost() & 0x2000) != 0, &piece != &rig_.pieces().back());
      EXPECT_EQ(ip.total_length.ToHost() + 14u, piece.frame.size());
      uint32_t sum = 0;
      for (size_t i = 0; i < header / 2; ++i)
        sum += reinterpret_cast<const uint16_t*>(piece.frame.data() + 14)[i];
      sum = (sum & 0xffff) + (sum >> 16);
      EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffu);
      all.insert(all.end(), piece.frame.begin() + 14 + static_cast<std::ptrdiff_t>(header),
                 piece.frame.end());
    }
    return all;
  }

  PipelineRig rig_;
};

TEST_F(SplitTest, ThePiecesMakeThePacket) {
  Serve(576);
  rig_.Send(Large(1400));
  ASSERT_EQ(rig_.pieces().size(), 3u);
  for (const Outcome& piece : rig_.pieces()) EXPECT_LE(piece.frame.size(), 14u + 576u);
  const FrameBytes joined = Joined();
  Packet expected = Large(1400);
  const FrameBytes sent = expected.From("10.0.0.1", 1000).To("10.1.0.1", 5353).Bytes();
  EXPECT_EQ(joined, FrameBytes(sent.begin() + 34, sent.end())) << "rewritten, with the checksum of the whole";
}

TEST_F(SplitTest, TunnelsAreSplitOutside) {
  Serve(576, ForwardingMethod::kTunnel);
  rig_.Send(Large(1400));
  ASSERT_EQ(rig_.pieces().size(), 3u);
  EXPECT_EQ(rig_.pieces()[0].frame[23], 4);
  const FrameBytes joined = Joined();
  EXPECT_EQ(joined.size(), 1428u);
  EXPECT_EQ(joined[0], 0x45) << "the inner packet, whole";
}

TEST_F(SplitTest, AFragmentIsSplitFurther) {
  Serve(200);
  Packet first = Large(400);
  rig_.Send(first.Fragment(0, true));
  ASSERT_EQ(rig_.pieces().size(), 3u);
  EXPECT_EQ(IpOf(rig_.pieces()[2].frame).flags_and_offset.ToHost() & 0x2000, 0x2000) << "more is to come";
  Packet second = Large(400);
  rig_.Send(second.Fragment(51, false));
  ASSERT_EQ(rig_.pieces().size(), 3u);
  EXPECT_EQ(IpOf(rig_.pieces()[0].frame).flags_and_offset.ToHost(), 0x2000 | 51);
  EXPECT_EQ(IpOf(rig_.pieces()[2].frame).flags_and_offset.ToHost(), 51 + 2 * 22);
}

TEST_F(SplitTest, OptionsOfTheFirstPieceOnlyAreBlankInTheOthers) {
  Serve(200);
  // Record route (not copied), and router alert (copied).
  rig_.Send(Large(300).IpOptions({7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0}));
  ASSERT_EQ(rig_.pieces().size(), 2u);
  const auto options = [&](size_t i) {
    return FrameBytes(rig_.pieces()[i].frame.begin() + 34, rig_.pieces()[i].frame.begin() + 46);
  };
  EXPECT_EQ(options(0), (FrameBytes{7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0}));
  EXPECT_EQ(options(1), (FrameBytes{1, 1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0}));
  EXPECT_EQ(Joined(32).size(), 308u);
}

TEST_F(SplitTest, WithDontFragmentTheSenderIsTold) {
  Serve(576);
  const Outcome answer = rig_.Send(Large(1400).DontFragment());
  EXPECT_EQ(Describe(answer.frame).substr(0, 42), "10.99.0.1 > 10.0.0.1 icmp 3/4 mtu 576 tos ");
  EXPECT_TRUE(rig_.pieces().empty());
}

// A packet over a jumbo link is in several buffers; its pieces are in one each, however large the next link
// is.
TEST_F(SplitTest, AJumboPacketIsSplitIntoPiecesOfOneBuffer) {
  const FrameBytes frame = Large(8900).Bytes();
  for (const uint16_t mtu : {uint16_t{1500}, uint16_t{2100}, uint16_t{4000}, uint16_t{8900}}) {
    rte_mbuf* packet = nullptr;
    for (size_t at = 0; at < frame.size();) {
      rte_mbuf* segment = rte_pktmbuf_alloc(PacketPoolForTest());
      const size_t here = std::min<size_t>(frame.size() - at, rte_pktmbuf_tailroom(segment));
      std::memcpy(rte_pktmbuf_append(segment, static_cast<uint16_t>(here)), &frame[at], here);
      at += here;
      if (packet == nullptr) {
        packet = segment;
      } else {
        ASSERT_EQ(rte_pktmbuf_chain(packet, segment), 0);
      }
    }
    rte_mbuf* pieces[32];
    const auto* ip = rte_pktmbuf_mtod_offset(packet, const uint8_t*, 14);
    const int count = SplitPacket(
        *packet, ip, {.mtu = mtu, .ip_length = static_cast<uint16_t>(frame.size() - 14)}, pieces, 32);
    EXPECT_GT(count, 1) << mtu;
    FrameBytes all;
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(pieces[i]->nb_segs, 1);
      EXPECT_LE(pieces[i]->data_len, 14 + mtu);
      const auto* bytes = rte_pktmbuf_mtod(pieces[i], const uint8_t*);
      all.insert(all.end(), bytes + 34, bytes + pieces[i]->data_len);
    }
    EXPECT_EQ(all, FrameBytes(frame.begin() + 34, frame.end())) << mtu;
    rte_pktmbuf_free_bulk(pieces, static_cast<unsigned>(count));
    rte_pktmbuf_free(packet);
  }
}

TEST_F(SplitTest, ABurstOfLargePacketsFillsThePiecesAndNoMore) {
  Serve(68);  // 48 bytes a piece: thirty a packet
  rig_.Send(std::vector<FrameBytes>(32, Large(1400).Bytes()));
  EXPECT_EQ(rig_.pieces().size(), 510u) << "seventeen packets";
  EXPECT_EQ(rig_.Count(Counter::kSplit), 17u);
  EXPECT_EQ(rig_.Count(Counter::kDropExceedsMtu), 15u);
}

}  // namespace
}  // namespace sluice
