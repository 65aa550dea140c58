// Whatever arrives, nothing crashes, and every packet is counted under one name.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

Packet Syn() { return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn); }
Packet Datagram() { return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Udp().Payload("question"); }

FrameBytes With(FrameBytes frame, size_t at, std::initializer_list<uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<ptrdiff_t>(at));
  return frame;
}
FrameBytes Cut(FrameBytes frame, size_t length) {
  frame.resize(length);
  return frame;
}
// Sets bytes of the IP header and makes its checksum right again.
FrameBytes WithIp(FrameBytes frame, size_t at, std::initializer_list<uint8_t> bytes) {
  frame = With(std::move(frame), 14 + at, bytes);
  frame[24] = frame[25] = 0;
  const size_t header = std::min<size_t>((frame[14] & 15) * 4u, frame.size() - 14);
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < header; i += 2) sum += frame[14 + i] << 8 | frame[15 + i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return With(std::move(frame), 24, {static_cast<uint8_t>(~sum >> 8), static_cast<uint8_t>(~sum)});
}

FrameBytes WithIp6(FrameBytes frame, size_t at, std::initializer_list<uint8_t> bytes) {
  return With(std::move(frame), 14 + at, bytes);
}
Packet SynV6() { return Packet().From("fd00:a::1", 1000).To("fd00:99::9", 80).Tcp(kTcpSyn); }

struct Case {
  const char* name;
  FrameBytes frame;
  const char* where;
  Counter counter;
};

std::vector<Case> Cases() {
  const FrameBytes syn = Syn().Bytes();
  const FrameBytes syn_v6 = SynV6().Bytes();
  const FrameBytes datagram = Datagram().Bytes();
  const MacAddress other{{0x02, 9, 9, 9, 9, 9}};
  const MacAddress broadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  return {
      {"empty", {}, "dropped", Counter::kDropFrameTruncated},
      {"half an Ethernet header", Cut(syn, 13), "dropped", Counter::kDropFrameTruncated},
      {"an Ethernet header alone", Cut(syn, 14), "dropped", Counter::kDropIpTruncated},
      {"half an IP header", Cut(syn, 33), "dropped", Counter::kDropIpTruncated},
      {"no TCP header", Cut(syn, 34), "dropped", Counter::kDropIpTruncated},
      {"half a TCP header", Cut(syn, 53), "dropped", Counter::kDropIpTruncated},
      {"half a UDP header", Cut(datagram, 41), "dropped", Counter::kDropIpTruncated},
      {"payload cut off", Cut(datagram, 45), "dropped", Counter::kDropIpTruncated},
      {"for another host", Syn().Macs(kMacOfClient, other).Bytes(), "dropped", Counter::kDropOtherHost},
      {"broadcast frame", Syn().Macs(kMacOfClient, broadcast).Bytes(), "kernel input",
       Counter::kKernelGroupAddress},
      {"ARP", Syn().EtherType(kEtherTypeArp).Bytes(), "kernel input", Counter::kKernelArp},
      {"IPv6 that is IPv4", Syn().EtherType(kEtherTypeIpv6).Bytes(), "dropped", Counter::kDropIpHeader},
      {"IPv6 with no service", syn_v6, "kernel input", Counter::kKernelNoService},
      {"half an IPv6 header", Cut(syn_v6, 53), "dropped", Counter::kDropIpTruncated},
      {"IPv6 payload cut off", Cut(syn_v6, 73), "dropped", Counter::kDropIpTruncated},
      {"IPv6 payload length more than a packet can have", WithIp6(syn_v6, 4, {0xff, 0xff}), "dropped",
       Counter::kDropIpLength},
      {"room for half of TCP in IPv6", WithIp6(syn_v6, 4, {0, 10}), "dropped", Counter::kDropTcpTruncated},
      {"IPv6 extension headers that do not end", SynV6().Extensions(std::vector<uint8_t>(9, 60)).Bytes(),
       "kernel input", Counter::kKernelIpv6Headers},
      {"IPv6 extension header beyond the packet", With(SynV6().Extensions({60}).Bytes(), 14 + 41, {0xff}),
       "kernel input", Counter::kKernelIpv6Headers},
      {"IPv6 with stops to make", With(SynV6().Extensions({43}).Bytes(), 14 + 43, {1}), "kernel input",
       Counter::kKernelIpv6Headers},
      {"IPv6 without anything", WithIp6(syn_v6, 6, {59}), "kernel input", Counter::kKernelProtocol},
      {"neighbour discovery", SynV6().IpProtocol(58).Payload("\207neighbour").Bytes(), "kernel input",
       Counter::kKernelIcmp},
      {"VLAN", Syn().Vlan(7).Bytes(), "dropped", Counter::kDropVlan},
      {"half a VLAN tag", Cut(Syn().Vlan(7).Bytes(), 17), "dropped", Counter::kDropFrameTruncated},
      {"priority tag", Syn().Vlan(0xe000).Bytes(), "wire 1", Counter::kConnectionsCreated},
      {"many priority tags", Syn().Vlan(0).EtherType(kEtherTypeVlan).Bytes(), "dropped", Counter::kDropVlan},
      {"unknown EtherType", Syn().EtherType(Be16::FromHost(0x88b5)).Bytes(), "kernel input",
       Counter::kKernelEtherType},
      {"IP version 5", WithIp(syn, 0, {0x55}), "dropped", Counter::kDropIpHeader},
      {"IP header length 0", WithIp(syn, 0, {0x40}), "dropped", Counter::kDropIpHeader},
      {"IP header length 16", WithIp(syn, 0, {0x44}), "dropped", Counter::kDropIpHeader},
      {"IP header longer than the packet", WithIp(syn, 0, {0x4f}), "dropped", Counter::kDropIpLength},
      {"IP total length 0", WithIp(syn, 2, {0, 0}), "dropped", Counter::kDropIpLength},
      {"IP total length less than the header", WithIp(syn, 2, {0, 19}), "dropped", Counter::kDropIpLength},
      {"IP total length more than the frame", WithIp(syn, 2, {0, 41}), "dropped", Counter::kDropIpTruncated},
      {"IP total length 65535", WithIp(syn, 2, {0xff, 0xff}), "dropped", Counter::kDropIpTruncated},
      {"IP checksum", With(syn, 24, {0x12, 0x34}), "dropped", Counter::kDropIpChecksum},
      {"room for half of TCP", WithIp(syn, 2, {0, 30}), "dropped", Counter::kDropTcpTruncated},
      {"room for half of UDP", WithIp(datagram, 2, {0, 27}), "dropped", Counter::kDropUdpTruncated},
      {"TCP data offset 4", With(syn, 46, {0x40}), "dropped", Counter::kDropTcpHeader},
      {"TCP data offset beyond the packet", With(syn, 46, {0xf0}), "dropped", Counter::kDropTcpHeader},
      {"UDP length 0", With(datagram, 38, {0, 0}), "dropped", Counter::kDropUdpLength},
      {"UDP length 7", With(datagram, 38, {0, 7}), "dropped", Counter::kDropUdpLength},
      {"UDP length beyond the packet", With(datagram, 38, {0, 17}), "dropped", Counter::kDropUdpLength},
      {"source 0.0.0.0", Syn().From("0.0.0.0", 1000).Bytes(), "dropped", Counter::kDropIpUnspecified},
      {"source loopback", Syn().From("127.0.0.1", 1000).Bytes(), "dropped", Counter::kDropIpLoopback},
      {"source multicast", Syn().From("224.0.0.1", 1000).Bytes(), "dropped", Counter::kDropIpMulticast},
      {"source reserved", Syn().From("240.0.0.1", 1000).Bytes(), "dropped", Counter::kDropIpSource},
      {"destination 0.0.0.0", Syn().To("0.0.0.0", 80).Bytes(), "dropped", Counter::kDropIpUnspecified},
      {"destination loopback", Syn().To("127.0.0.1", 80).Bytes(), "dropped", Counter::kDropIpLoopback},
      {"destination multicast", Syn().To("224.0.0.1", 80).Bytes(), "dropped", Counter::kDropIpMulticast},
      {"destination broadcast", Syn().To("255.255.255.255", 80).Bytes(), "kernel input",
       Counter::kKernelGroupAddress},
      {"ICMP from loopback", Syn().From("127.0.0.1", 0).IpProtocol(1).Payload("\013 exceeded").Bytes(),
       "dropped", Counter::kDropIpLoopback},
      {"a later fragment from loopback", Syn().From("127.0.0.1", 0).Fragment(3, false).Bytes(), "dropped",
       Counter::kDropIpLoopback},
      {"IPv6 source ::", SynV6().From("::", 1000).Bytes(), "dropped", Counter::kDropIpUnspecified},
      {"IPv6 source loopback", SynV6().From("::1", 1000).Bytes(), "dropped", Counter::kDropIpLoopback},
      {"IPv6 source multicast", SynV6().From("ff02::1", 1000).Bytes(), "dropped", Counter::kDropIpMulticast},
      {"IPv6 source mapped", SynV6().From("::ffff:10.0.0.1", 1000).Bytes(), "dropped",
       Counter::kDropIpv4Notation},
      {"IPv6 source compatible", SynV6().From("::10.0.0.1", 1000).Bytes(), "dropped",
       Counter::kDropIpv4Notation},
      {"IPv6 destination ::", SynV6().To("::", 80).Bytes(), "dropped", Counter::kDropIpUnspecified},
      {"IPv6 destination loopback", SynV6().To("::1", 80).Bytes(), "dropped", Counter::kDropIpLoopback},
      {"IPv6 destination multicast", SynV6().To("ff02::1", 80).Bytes(), "dropped", Counter::kDropIpMulticast},
      {"IPv6 destination is an IPv4 service's", SynV6().To("::ffff:10.99.0.1", 80).Bytes(), "dropped",
       Counter::kDropIpv4Notation},
      {"IPv6 destination compatible", SynV6().To("::10.99.0.1", 80).Bytes(), "dropped",
       Counter::kDropIpv4Notation},
      {"behind extension headers", SynV6().From("::ffff:10.0.0.1", 1).Extensions({60}).Bytes(), "dropped",
       Counter::kDropIpv4Notation},
      {"source broadcast", Syn().From("255.255.255.255", 1000).Bytes(), "dropped", Counter::kDropIpSource},
      {"fragment of another protocol", Syn().IpProtocol(89).Fragment(3, false).Bytes(), "kernel input",
       Counter::kKernelFragment},
      {"ICMP", Syn().IpProtocol(1).Payload("\015timestamp").Bytes(), "kernel input", Counter::kKernelIcmp},
      {"an echo's checksum", Syn().IpProtocol(1).Payload("\010 wrong checksum").Bytes(), "dropped",
       Counter::kDropIcmpChecksum},
      {"GRE", Syn().IpProtocol(47).Payload("gre").Bytes(), "kernel input", Counter::kKernelProtocol},
      {"no service", Syn().To("10.99.0.1", 81).Bytes(), "kernel input", Counter::kKernelNoService},
      {"nothing opened", Syn().Tcp(kTcpAck).Bytes(), "kernel input", Counter::kKernelNoConnection},
      {"RST with SYN", Syn().Tcp(kTcpSyn | kTcpRst).Bytes(), "kernel input", Counter::kKernelNoConnection},
      {"TTL 1: the client is told", Syn().Ttl(1).Bytes(), "wire 0", Counter::kDropTtlExpired},
      {"TTL 0", Syn().Ttl(0).Bytes(), "wire 0", Counter::kDropTtlExpired},
      {"TCP checksum broken", Syn().BreakTransportChecksum().Bytes(), "dropped",
       Counter::kDropTransportChecksum},
      {"UDP checksum broken: not our business", Datagram().BreakTransportChecksum().Bytes(), "wire 1",
       Counter::kConnectionsCreated},
      {"IP options", Syn().IpOptions({1, 1, 1, 0}).Bytes(), "wire 1", Counter::kConnectionsCreated},
      {"longest IP options", Syn().IpOptions(FrameBytes(40, 1)).Bytes(), "wire 1",
       Counter::kConnectionsCreated},
      {"padding after the packet", Cut(syn, 60), "wire 1", Counter::kConnectionsCreated},
  };
}

std::vector<uint64_t> AllCounts(const PipelineRig& rig) {
  std::vector<uint64_t> counts;
  for (int i = 0; i < kCounterCount; ++i) counts.push_back(rig.Count(static_cast<Counter>(i)));
  return counts;
}

class MalformedTest : public testing::Test {
 protected:
  MalformedTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 5353)});
    rig_.AddService("fd00:99::1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("fd00:b::1", 8080)});
  }
  PipelineRig rig_;
};

TEST_F(MalformedTest, ADeviceThatCheckedTheHeaderIsBelieved) {
  const FrameBytes wrong = With(Syn().Bytes(), 24, {0x12, 0x34});
  rig_.device_says = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  EXPECT_EQ(rig_.Send({wrong}).front().where, "wire 1");
  // One that has not looked, or says that it is wrong, is not: the header is looked at here.
  for (const uint64_t flags : std::vector<uint64_t>{
           RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN, RTE_MBUF_F_RX_IP_CKSUM_BAD, RTE_MBUF_F_RX_IP_CKSUM_NONE}) {
    rig_.device_says = flags;
    EXPECT_EQ(rig_.Send({wrong}).front().where, "dropped");
    EXPECT_EQ(rig_.Send({Syn().Bytes()}).front().where, "wire 1");
  }
}

TEST_F(MalformedTest, EveryFaultHasItsName) {
  for (const Case& each : Cases()) {
    SCOPED_TRACE(each.name);
    PipelineRig rig;
    rig.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 5353)});
    const std::vector<Outcome> outcomes = rig.Send(std::vector<FrameBytes>{each.frame});
    EXPECT_EQ(outcomes.front().where, each.where);
    EXPECT_EQ(rig.Count(each.counter), 1u);
    if (outcomes.front().where == "kernel input") {
      EXPECT_EQ(outcomes.front().frame, each.frame) << "the kernel gets it as it came";
    }
    // A packet that was not forwarded has exactly one name.
    const std::vector<uint64_t> counts = AllCounts(rig);
    uint64_t sum = 0;
    for (const uint64_t count : counts) sum += count;
    if (each.counter != Counter::kDropTtlExpired) {
      EXPECT_EQ(sum, 1u);
    }
  }
}

// The packet that once ended the daemon: a client that claims to be of IPv4, in IPv6, at services that look
// at the client's prefix.
TEST_F(MalformedTest, AMappedClientReachesNeitherTemplatesNorFilters) {
  const auto service = [](const char* address) {
    return ServiceSpec{.key = {{*IpAddress::Parse(address), Be16::FromHost(80), Protocol::kTcp}},
                       .scheduler = "rr",
                       .destinations = {PipelineRig::Server("fd00:b::1", 8080)}};
  };
  ServiceSpec persistent = service("fd00:99::2");
  persistent.persistence = {.timeout_seconds = 60, .prefix_length = 128};
  ServiceSpec filtered = service("fd00:99::3");
  filtered.sources.deny = {{*IpAddress::Parse("fd00:f::"), 32}};
  rig_.AddService(persistent);
  rig_.AddService(filtered);
  for (const char* client : {"::ffff:10.0.0.1", "::10.0.0.1"}) {
    for (const char* address : {"fd00:99::1", "fd00:99::2", "fd00:99::3"}) {
      const Packet syn = Packet().From(client, 1000).To(address, 80).Tcp(kTcpSyn);
      EXPECT_EQ(rig_.Send(syn).where, "dropped") << client << " > " << address;
      // An ICMP error quotes what it likes, and may open a connection.
      rig_.SetGlobal({.settings = {.schedule_icmp = true}});
      const Packet error =
          Packet()
              .From("fd00:a::9", 0)
              .To(address, 0)
              .IcmpErrorAbout(1, 4, 0, Packet().From(address, 80).To(client, 1000).Tcp(kTcpAck).Bytes());
      EXPECT_EQ(rig_.Send(error).where, "dropped") << client << " > " << address;
    }
  }
  EXPECT_EQ(rig_.worker->connections.size(), 0u);
  EXPECT_EQ(rig_.persistence->size(), 0u);
}

TEST_F(MalformedTest, TruncationAtEveryByte) {
  const std::vector<FrameBytes> whole = {Syn().Bytes(),
                                         Datagram().Bytes(),
                                         Syn().IpOptions(FrameBytes(40, 1)).Bytes(),
                                         Syn().Vlan(5).Bytes(),
                                         Syn().Fragment(0, true).Bytes(),
                                         SynV6().Bytes(),
                                         SynV6().Extensions({0, 60}).Bytes(),
                                         SynV6().Fragment(0, true).Bytes()};
  for (const FrameBytes& frame : whole) {
    for (size_t length = 0; length < frame.size(); ++length) {
      const std::vector<uint64_t> before = AllCounts(rig_);
      const std::string where = rig_.Send(std::vector<FrameBytes>{Cut(frame, length)}).front().where;
      const std::vector<uint64_t> after = AllCounts(rig_);
      uint64_t counted = 0;
      for (int i = 0; i < kCounterCount; ++i) counted += after[i] - before[i];
      EXPECT_EQ(counted, 1u) << "cut to " << length;
      EXPECT_TRUE(where == "dropped" || where == "kernel input") << where;
    }
  }
}

// A million random damages; sanitizers watch.
TEST_F(MalformedTest, RandomDamage) {
  const uint32_t seed = std::random_device()();
  RecordProperty("seed", static_cast<int>(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::vector<FrameBytes> whole = {
      Syn().Payload("some payload").Bytes(), Datagram().Bytes(), Syn().IpOptions(FrameBytes(12, 1)).Bytes(),
      Packet().From("fd00:a::1", 1).To("fd00:99::1", 80).Tcp(kTcpSyn).Bytes(),
      Packet().From("fd00:a::1", 1).To("fd00:99::1", 80).Extensions({0, 60, 43}).Bytes()};
  for (int round = 0; round < 20'000; ++round) {
    std::vector<FrameBytes> frames;
    for (int i = 0; i < kBurst; ++i) {
      FrameBytes frame = whole[random() % whole.size()];
      for (uint32_t hits = random() % 4; hits > 0; --hits)
        frame[random() % frame.size()] = static_cast<uint8_t>(random());
      if (random() % 4 == 0) frame.resize(random() % (frame.size() + 1));
      frames.push_back(std::move(frame));
    }
    ASSERT_EQ(rig_.Send(frames).size(), frames.size());
    rig_.Advance(1);
  }
}

}  // namespace
}  // namespace sluice
