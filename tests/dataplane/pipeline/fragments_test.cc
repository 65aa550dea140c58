// Fragments of a datagram reach the server of their flow, in whatever order they come.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

// A UDP datagram of 1,000 bytes in four fragments.
std::vector<FrameBytes> Fragments(const std::string& from, uint16_t from_port, const std::string& to,
                                  uint16_t to_port, uint16_t identification = 0x1234) {
  std::string payload;
  for (int i = 0; i < 1000; ++i) payload += static_cast<char>(i * 7);
  const FrameBytes whole = Packet().From(from, from_port).To(to, to_port).Udp().Payload(payload).Bytes();
  constexpr size_t kHeaders = 34;
  constexpr size_t kEach = 256;
  std::vector<FrameBytes> fragments;
  for (size_t at = kHeaders; at < whole.size(); at += kEach) {
    const size_t end = std::min(at + kEach, whole.size());
    FrameBytes fragment(whole.begin(), whole.begin() + kHeaders);
    fragment.insert(fragment.end(), whole.begin() + static_cast<std::ptrdiff_t>(at),
                    whole.begin() + static_cast<std::ptrdiff_t>(end));
    auto& ip = *reinterpret_cast<Ipv4Header*>(fragment.data() + 14);
    ip.total_length = Be16::FromHost(static_cast<uint16_t>(fragment.size() - 14));
    ip.identification = Be16::FromHost(identification);
    ip.flags_and_offset =
        Be16::FromHost(static_cast<uint16_t>((at - kHeaders) / 8 | (end < whole.size() ? 0x2000 : 0)));
    ip.checksum = 0;
    uint32_t sum = 0;
    for (int i = 0; i < 10; ++i) sum += reinterpret_cast<const uint16_t*>(fragment.data() + 14)[i];
    sum = (sum & 0xffff) + (sum >> 16);
    ip.checksum = static_cast<uint16_t>(~(sum + (sum >> 16)));
    fragments.push_back(fragment);
  }
  return fragments;
}

// The datagram that fragments make, as a frame.
FrameBytes Reassemble(const std::vector<FrameBytes>& fragments) {
  std::map<int, FrameBytes> parts;
  FrameBytes frame;
  for (const FrameBytes& fragment : fragments) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(fragment.data() + 14);
    const int offset = (ip.flags_and_offset.ToHost() & 0x1fff) * 8;
    parts[offset] = FrameBytes(fragment.begin() + 34, fragment.end());
    if (offset == 0) frame.assign(fragment.begin(), fragment.begin() + 34);
  }
  for (const auto& [offset, bytes] : parts) {
    EXPECT_EQ(frame.size(), 34u + static_cast<size_t>(offset));
    frame.insert(frame.end(), bytes.begin(), bytes.end());
  }
  auto& ip = *reinterpret_cast<Ipv4Header*>(frame.data() + 14);
  const uint32_t before = ip.total_length.raw + ip.flags_and_offset.raw;
  ip.total_length = Be16::FromHost(static_cast<uint16_t>(frame.size() - 14));
  ip.flags_and_offset = Be16{};
  uint32_t sum = static_cast<uint16_t>(~ip.checksum) + 2u * 0xffff - before + ip.total_length.raw;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  ip.checksum = static_cast<uint16_t>(~sum);
  return frame;
}

class FragmentsTest : public testing::Test {
 protected:
  void Serve(ForwardingMethod method, TunnelType tunnel = TunnelType::kIpip) {
    std::vector<DestinationSpec> servers;
    for (int i = 1; i <= 3; ++i) {
      servers.push_back(PipelineRig::Server("10.1.0." + std::to_string(i), 5353));
      servers.back().method = method;
      servers.back().tunnel = {.type = tunnel};
    }
    ForwardingSpec forwarding = PipelineRig::DefaultForwarding();
    forwarding.routes[1].source = *IpAddress::Parse("10.1.0.254");
    rig_.SetForwarding(forwarding);
    rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", servers);
  }
  // What came out when each of these came in a burst of its own.
  std::vector<Outcome> SendOneByOne(const std::vector<FrameBytes>& frames, uint16_t port = 0) {
    std::vector<Outcome> all;
    for (const FrameBytes& frame : frames) {
      const Outcome outcome = rig_.Send(std::vector<FrameBytes>{frame}, port).front();
      if (!outcome.frame.empty()) all.push_back(outcome);
      all.insert(all.end(), rig_.released().begin(), rig_.released().end());
    }
    return all;
  }
  static std::vector<FrameBytes> FramesOf(const std::vector<Outcome>& outcomes, const std::string& where) {
    std::vector<FrameBytes> frames;
    for (const Outcome& outcome : outcomes) {
      EXPECT_EQ(outcome.where, where);
      frames.push_back(outcome.frame);
    }
    return frames;
  }
  // Calls `check` for every order of four fragments, each of another client.
  template <class Check>
  void ForEveryOrder(Check check) {
    std::vector<size_t> order = {0, 1, 2, 3};
    uint16_t client = 1000;
    do {
      SCOPED_TRACE(testing::PrintToString(order));
      const std::vector<FrameBytes> fragments = Fragments("10.0.0.1", client, "10.99.0.1", 53, client);
      std::vector<FrameBytes> ordered;
      for (const size_t i : order) ordered.push_back(fragments[i]);
      check(ordered, client);
      ++client;
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_EQ(client, 1024);
    EXPECT_EQ(rig_.worker->fragments.waiting(), 0);
  }

  PipelineRig rig_;
};

TEST_F(FragmentsTest, NatInEveryOrder) {
  Serve(ForwardingMethod::kNat);
  int next = 3;
  ForEveryOrder([&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    const std::vector<FrameBytes> out = FramesOf(SendOneByOne(ordered), "wire 1");
    ASSERT_EQ(out.size(), 4u);
    const FrameBytes whole = Reassemble(out);
    EXPECT_EQ(ChecksumFaults(whole), "");
    EXPECT_EQ(Describe(whole), "10.0.0.1:" + std::to_string(client) + " > 10.1.0." + std::to_string(next) +
                                   ":5353 udp ttl 63 len 1028");
    // The answer, in the same order of pieces.
    const std::vector<FrameBytes> reply =
        Fragments("10.1.0." + std::to_string(next), 5353, "10.0.0.1", client, client);
    const FrameBytes answer =
        Reassemble(FramesOf(SendOneByOne({reply[3], reply[1], reply[0], reply[2]}, 1), "wire 0"));
    EXPECT_EQ(ChecksumFaults(answer), "");
    EXPECT_EQ(Describe(answer), "10.99.0.1:53 > 10.0.0.1:" + std::to_string(client) + " udp ttl 63 len 1028");
    next = next == 1 ? 3 : next - 1;
  });
  EXPECT_EQ(rig_.Count(Counter::kConnectionsCreated), 24u);
}

TEST_F(FragmentsTest, DirectRoutingInEveryOrder) {
  Serve(ForwardingMethod::kDirect);
  ForEveryOrder([&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    const std::vector<FrameBytes> out = FramesOf(SendOneByOne(ordered), "wire 1");
    ASSERT_EQ(out.size(), 4u);
    for (const FrameBytes& frame : out) EXPECT_EQ(frame[5], out[0][5]) << "all to one server's MAC address";
    EXPECT_EQ(Describe(Reassemble(out)),
              "10.0.0.1:" + std::to_string(client) + " > 10.99.0.1:53 udp ttl 63 len 1028");
  });
}

TEST_F(FragmentsTest, TunnelsInEveryOrder) {
  Serve(ForwardingMethod::kTunnel);
  ForEveryOrder([&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    std::vector<FrameBytes> inside;
    for (const FrameBytes& frame : FramesOf(SendOneByOne(ordered), "wire 1")) {
      EXPECT_EQ(frame[23], 4) << "IPIP";
      FrameBytes inner(frame.begin(), frame.begin() + 14);
      inner.insert(inner.end(), frame.begin() + 34, frame.end());
      inside.push_back(inner);
    }
    ASSERT_EQ(inside.size(), 4u);
    EXPECT_EQ(ChecksumFaults(Reassemble(inside)), "");
    EXPECT_EQ(Describe(Reassemble(inside)),
              "10.0.0.1:" + std::to_string(client) + " > 10.99.0.1:53 udp ttl 63 len 1028");
  });
}

TEST_F(FragmentsTest, AllInOneBurst) {
  Serve(ForwardingMethod::kNat);
  std::vector<FrameBytes> fragments = Fragments("10.0.0.1", 1000, "10.99.0.1", 53);
  std::reverse(fragments.begin(), fragments.end());
  const std::vector<Outcome> outcomes = rig_.Send(fragments);
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.where, "wire 1");
}

// More may wait than a burst holds, and one burst of first fragments releases them all.
TEST_F(FragmentsTest, ManyAreReleasedAtOnce) {
  Serve(ForwardingMethod::kNat);
  std::vector<FrameBytes> firsts;
  for (uint16_t i = 0; i < 32; ++i) {
    const std::vector<FrameBytes> fragments =
        Fragments("10.0.0.1", static_cast<uint16_t>(1000 + i), "10.99.0.1", 53, i);
    SendOneByOne({fragments[1], fragments[2], fragments[3]});
    firsts.push_back(fragments[0]);
  }
  EXPECT_EQ(rig_.worker->fragments.waiting(), 96);
  for (const Outcome& outcome : rig_.Send(firsts)) EXPECT_EQ(outcome.where, "wire 1");
  EXPECT_EQ(rig_.released().size(), 96u);
  for (const Outcome& outcome : rig_.released()) EXPECT_EQ(outcome.where, "wire 1");
}

TEST_F(FragmentsTest, NobodyWaitsForEver) {
  Serve(ForwardingMethod::kNat);
  const std::vector<FrameBytes> fragments = Fragments("10.0.0.1", 1000, "10.99.0.1", 53);
  SendOneByOne({fragments[2], fragments[3]});
  EXPECT_EQ(rig_.worker->fragments.waiting(), 2);
  rig_.Advance(1.1);
  EXPECT_EQ(rig_.worker->fragments.waiting(), 0);
  EXPECT_EQ(rig_.Count(Counter::kDropFragmentAlone), 2u);
}

TEST_F(FragmentsTest, AFloodFillsItsPlacesAndNoMore) {
  Serve(ForwardingMethod::kNat);
  for (uint16_t i = 0; i < 5000; ++i) {
    SendOneByOne({Fragments("10.0.0.9", 1, "10.99.0.1", 53, i)[1]});
  }
  EXPECT_EQ(rig_.worker->fragments.waiting(), 256);
  EXPECT_EQ(rig_.Count(Counter::kDropFragmentsFull), 5000u - 256u);
  // Datagrams whose first fragment comes first need no place.
  const std::vector<FrameBytes> out =
      FramesOf(SendOneByOne(Fragments("10.0.0.1", 1000, "10.99.0.1", 53)), "wire 1");
  EXPECT_EQ(out.size(), 4u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.worker->fragments.waiting(), 0);
}

TEST_F(FragmentsTest, TheRestOfARefusedDatagramIsDropped) {
  rig_.AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {});
  const std::vector<FrameBytes> fragments = Fragments("10.0.0.1", 1000, "10.99.0.1", 53);
  const std::vector<Outcome> out = SendOneByOne(fragments);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].where, "wire 0") << "ICMP, once";
  EXPECT_EQ(rig_.Count(Counter::kDropFragmentOfNone), 3u);
}

TEST_F(FragmentsTest, WhatIsNotOursIsTheKernels) {
  Serve(ForwardingMethod::kNat);
  for (const Outcome& outcome : SendOneByOne(Fragments("10.0.0.1", 1000, "10.99.0.1", 99)))
    EXPECT_EQ(outcome.where, "kernel input");
}

TEST_F(FragmentsTest, AFragmentedSctpPacketWhosePortChangesCannotBeMended) {
  rig_.AddService("10.99.0.1", 53, Protocol::kSctp, "rr", {PipelineRig::Server("10.1.0.1", 5353)});
  const Packet first = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 53).Sctp({1, 0, 0}).Fragment(0, true);
  EXPECT_EQ(rig_.Send(first).where, "dropped");
  EXPECT_EQ(rig_.Count(Counter::kDropFragmentSctp), 1u);
}

// Two workers: the one that sees the fragments tells the flow's owner their ports.
TEST_F(FragmentsTest, TheOwnerOfTheFlowGetsThemWithTheirPorts) {
  PipelineRig one({.index = 0, .workers = 2});
  PipelineRig two({.index = 1, .workers = 2});
  for (PipelineRig* rig : {&one, &two})
    rig->AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 5353)});
  for (uint16_t client = 1000; client < 1040; ++client) {
    const std::vector<FrameBytes> fragments = Fragments("10.0.0.1", client, "10.99.0.1", 53, client);
    const std::vector<Outcome> outcomes = one.Send(fragments);
    for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.where, outcomes.front().where);
  }
  EXPECT_GT(one.Count(Counter::kConnectionsCreated), 5u);
  EXPECT_LT(one.Count(Counter::kConnectionsCreated), 35u) << "the others are the second worker's";
}

}  // namespace
}  // namespace sluice
