// ICMP errors, made and relayed, where a scenario beside a kernel does not show it: limits, and what must not
// be answered.
#include <gtest/gtest.h>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class IcmpTest : public testing::Test {
 protected:
  IcmpTest() {
    rig_.AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    rig_.AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {});
    rig_.Send(FromClient(kTcpSyn));
  }
  static Packet FromClient(uint8_t flags) {
    return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(flags);
  }
  static Packet ErrorAbout(const Packet& about) {
    return Packet().From("10.0.9.9", 0).To("10.99.0.1", 0).IcmpErrorAbout(11, 0, 0, about.Bytes(), 28);
  }
  static Packet ToClient() { return Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck); }

  PipelineRig rig_;
};

TEST_F(IcmpTest, AnErrorIsRewrittenInsideAndOutside) {
  const Outcome outcome = rig_.Send(ErrorAbout(ToClient()));
  EXPECT_EQ(outcome.where, "wire 1");
  EXPECT_EQ(Describe(outcome.frame),
            "10.0.9.9 > 10.1.0.1 icmp 11/0 mtu 0 tos 00 ttl 63 len 56 [10.1.0.1:8080 > 10.0.0.1:1000 tcp 00 "
            "ttl 64 len 40]");
}

TEST_F(IcmpTest, AnErrorIsNeverAnsweredByAnError) {
  EXPECT_EQ(rig_.Send(ErrorAbout(ToClient()).Ttl(1)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropTtlExpired), 1u);
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 0u);
}

TEST_F(IcmpTest, NorIsALaterFragment) {
  rig_.Send(FromClient(kTcpAck).Fragment(0, true));
  EXPECT_EQ(rig_.Send(FromClient(kTcpAck).Fragment(3, false).Ttl(1)).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 0u);
}

// Senders that are not told send too much for ever: that has no limit, whatever else is asked for.
TEST_F(IcmpTest, EverySenderOfTooLargePacketsIsTold) {
  ForwardingSpec spec = PipelineRig::DefaultForwarding();
  spec.links[2].mtu = 1000;
  rig_.SetForwarding(spec);
  int told = 0;
  for (uint16_t client = 0; client < 200; ++client) {
    for (int i = 0; i < 10; ++i) rig_.Send(FromClient(kTcpAck).Ttl(1));
    const Packet large = Packet()
                             .From("10.0.1.1", static_cast<uint16_t>(2000 + client))
                             .To("10.99.0.1", 80)
                             .Tcp(kTcpSyn)
                             .DontFragment()
                             .Payload(std::string(1200, 'x'));
    told += rig_.Send(large).where == "wire 0";
  }
  EXPECT_EQ(told, 200);
  EXPECT_EQ(rig_.Count(Counter::kIcmpLimited), 2000u - 50u);
}

TEST_F(IcmpTest, OnlySoManyASecond) {
  const Packet to_nobody = Packet().From("10.0.0.1", 1000).To("10.99.0.2", 80).Tcp(kTcpSyn);
  for (int i = 0; i < 200; ++i) rig_.Send(to_nobody);
  EXPECT_EQ(rig_.Count(Counter::kSentIcmp), 50u) << "a burst";
  EXPECT_EQ(rig_.Count(Counter::kIcmpLimited), 150u);
  EXPECT_EQ(rig_.Count(Counter::kRefusedNoDestination), 200u);
  int sent = 0;
  for (int i = 0; i < 250; ++i) {
    rig_.Advance(1.0 / kJiffiesPerSecond);
    for (int j = 0; j < 10; ++j) sent += rig_.Send(to_nobody).where == "wire 0";
  }
  EXPECT_NEAR(sent, 1000, 60);
}

TEST_F(IcmpTest, AnErrorAboutNothingWeKnowIsTheKernels) {
  EXPECT_EQ(rig_.Send(ErrorAbout(Packet().From("10.99.0.1", 80).To("10.0.0.1", 1001).Tcp(kTcpAck))).where,
            "kernel input");
  EXPECT_EQ(rig_.Count(Counter::kKernelIcmp), 1u);
}

TEST_F(IcmpTest, ItDoesNotTouchTheConnection) {
  const uint32_t before = rig_.worker->connections.ByIndex(1).deadline;
  rig_.Advance(3);
  rig_.Send(ErrorAbout(ToClient()));
  EXPECT_EQ(rig_.worker->connections.ByIndex(1).deadline, before);
  EXPECT_EQ(rig_.worker->connections.ByIndex(1).state, kTcpSynRecv);
}

// The same of IPv6: made for the client, relayed both ways, with the least that is quoted.
TEST_F(IcmpTest, Ipv6) {
  rig_.AddService("fd00:99::1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("fd00:b::1", 8080)});
  rig_.AddService("fd00:99::2", 80, Protocol::kTcp, "rr", {});
  const auto from_client = [](uint8_t flags) {
    return Packet().From("fd00:a::1", 1000).To("fd00:99::1", 80).Tcp(flags);
  };
  EXPECT_EQ(rig_.Send(from_client(kTcpSyn)).where, "wire 1");

  const Packet to_client = Packet().From("fd00:99::1", 80).To("fd00:a::1", 1000).Tcp(kTcpAck);
  const Packet too_big =
      Packet().From("fd00:a::fe", 0).To("fd00:99::1", 0).IcmpErrorAbout(2, 0, 1400, to_client.Bytes(), 48);
  EXPECT_EQ(Describe(rig_.Send(too_big).frame),
            "fd00:a::fe > fd00:b::1 icmp6 2/0 mtu 1400 tos 00 ttl 63 len 96 [[fd00:b::1]:8080 > "
            "[fd00:a::1]:1000 tcp 00 ttl 64 len 60]");

  Packet to_server = Packet().From("fd00:a::1", 1000).To("fd00:b::1", 8080).Tcp(kTcpAck);
  const Packet unreachable = Packet()
                                 .From("fd00:b::fe", 0)
                                 .To("fd00:a::1", 0)
                                 .IcmpErrorAbout(1, 3, 0, to_server.Extensions({60}).Bytes(), 56);
  EXPECT_EQ(Describe(rig_.Send(unreachable, 1).frame),
            "fd00:99::1 > fd00:a::1 icmp6 1/3 mtu 0 tos 00 ttl 63 len 104 [[fd00:a::1]:1000 > "
            "[fd00:99::1]:80 tcp 00 ttl 64 len 68]");
  Packet broken = too_big;
  EXPECT_EQ(rig_.Send(broken.BreakTransportChecksum()).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropIcmpChecksum), 1u);

  EXPECT_EQ(Describe(rig_.Send(from_client(kTcpAck).Ttl(1)).frame),
            "fd00:99::1 > fd00:a::1 icmp6 3/0 mtu 0 tos 00 ttl 64 len 108 [[fd00:a::1]:1000 > "
            "[fd00:99::1]:80 tcp 10 ttl 1 len 60]");
  EXPECT_EQ(Describe(rig_.Send(Packet().From("fd00:a::1", 1).To("fd00:99::2", 80).Tcp(kTcpSyn)).frame),
            "fd00:99::2 > fd00:a::1 icmp6 1/4 mtu 0 tos 00 ttl 64 len 108 [[fd00:a::1]:1 > "
            "[fd00:99::2]:80 tcp 02 ttl 64 len 60]");
  const Outcome large = rig_.Send(from_client(kTcpAck).Payload(std::string(1441, 'x')));
  EXPECT_EQ(large.where, "wire 0");
  EXPECT_EQ(large.frame.size(), 14u + 1280);
  EXPECT_EQ(Describe(large.frame),
            "fd00:99::1 > fd00:a::1 icmp6 2/0 mtu 1500 tos 00 ttl 64 len 1280 [[fd00:a::1]:1000 > "
            "[fd00:99::1]:80 tcp 10 ttl 63 len 1501]");
}

TEST_F(IcmpTest, AnEchoOfAVirtualAddressIsAnswered) {
  rig_.AddService("fd00:99::1", 80, Protocol::kTcp, "rr", {});
  const std::string message = std::string("\0\0\0\0\0\1\0\2", 8) + "are you there?";
  struct Case {
    const char* from;
    const char* to;
    char request;
    const char* reply;
  };
  const Case cases[] = {
      {"10.0.0.1", "10.99.0.2", 8, "10.99.0.2 > 10.0.0.1 icmp 0/0 mtu 2 tos 00 ttl 64 len 42"},
      {"fd00:a::1", "fd00:99::1", char(128), "fd00:99::1 > fd00:a::1 icmp6 129/0 mtu 2 tos 00 ttl 64 len 62"},
  };
  for (const Case& each : cases) {
    std::string echo = message;
    echo[0] = each.request;
    // The builder makes an ICMP message of what stands behind an Ethernet header.
    const std::string quoted_text = std::string(14, '\0') + echo.substr(8);
    const FrameBytes quoted(quoted_text.begin(), quoted_text.end());
    const Packet request = Packet()
                               .From(each.from, 0)
                               .To(each.to, 0)
                               .Ttl(3)
                               .IcmpErrorAbout(static_cast<uint8_t>(each.request), 0, 2, quoted);
    const Outcome answer = rig_.Send(request);
    EXPECT_EQ(answer.where, "wire 0");
    const std::string text = Describe(answer.frame);
    EXPECT_EQ(text.substr(0, text.find(" [")), each.reply);
    EXPECT_TRUE(std::equal(echo.begin() + 8, echo.end(), answer.frame.end() - 14));
    Packet broken = request;
    EXPECT_EQ(rig_.Send(broken.BreakTransportChecksum()).where, "dropped");
    Packet elsewhere = request;
    EXPECT_EQ(rig_.Send(elsewhere.To(*each.to == '1' ? "10.99.0.77" : "fd00:99::77", 0)).where,
              "kernel input");
  }
  EXPECT_EQ(rig_.Count(Counter::kEchoAnswered), 2u);
}

}  // namespace
}  // namespace sluice
