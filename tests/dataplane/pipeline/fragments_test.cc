// Fragments of a datagram reach the server of their flow, in whatever order they come.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

struct Endpoints {
  const char* client;
  const char* service;
  const char* servers;  // without the last digit
  bool is_v6;

  std::string Name(const char* address, int port) const {
    const std::string host = is_v6 ? std::string("[").append(address).append("]") : address;
    return host + ":" + std::to_string(port);
  }
  std::string Server(int number) const { return servers + std::to_string(number); }
  std::string Length() const { return is_v6 ? "1048" : "1028"; }
};
constexpr Endpoints kEndpointsV4 = {"10.0.0.1", "10.99.0.1", "10.1.0.", false};
constexpr Endpoints kEndpointsV6 = {"fd00:a::1", "fd00:99::1", "fd00:b::", true};

bool IsV6Frame(const FrameBytes& frame) { return frame[14] >> 4 == 6; }

uint16_t HeaderChecksum(const uint8_t* ip) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += i == 10 ? 0u : static_cast<uint32_t>(ip[i] << 8 | ip[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// A UDP datagram of 1,000 bytes in four fragments.
std::vector<FrameBytes> Fragments(const std::string& from, uint16_t from_port, const std::string& to,
                                  uint16_t to_port, uint16_t identification = 0x1234) {
  std::string payload;
  for (int i = 0; i < 1000; ++i) payload += static_cast<char>(i * 7);
  const Packet packet = Packet().From(from, from_port).To(to, to_port).Udp().Payload(payload);
  const FrameBytes whole = packet.Bytes();
  const size_t header = IsV6Frame(whole) ? 54 : 34;
  constexpr size_t kEach = 256;
  std::vector<FrameBytes> fragments;
  for (size_t at = header; at < whole.size(); at += kEach) {
    const size_t end = std::min(at + kEach, whole.size());
    const bool more = end < whole.size();
    FrameBytes fragment(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(header));
    uint8_t* ip = fragment.data() + 14;
    const size_t offset = at - header;
    if (IsV6Frame(whole)) {
      const uint8_t extension[] = {
          17, 0, static_cast<uint8_t>(offset >> 8),         static_cast<uint8_t>(offset | more),
          0,  0, static_cast<uint8_t>(identification >> 8), static_cast<uint8_t>(identification)};
      ip[6] = 44;
      ip[4] = static_cast<uint8_t>((end - at + 8) >> 8);
      ip[5] = static_cast<uint8_t>(end - at + 8);
      fragment.insert(fragment.end(), std::begin(extension), std::end(extension));
    } else {
      auto& v4 = *reinterpret_cast<Ipv4Header*>(ip);
      v4.total_length = Be16::FromHost(static_cast<uint16_t>(end - at + 20));
      v4.identification = Be16::FromHost(identification);
      v4.flags_and_offset = Be16::FromHost(static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
      v4.checksum = Be16::FromHost(HeaderChecksum(ip)).raw;
    }
    fragment.insert(fragment.end(), whole.begin() + static_cast<std::ptrdiff_t>(at),
                    whole.begin() + static_cast<std::ptrdiff_t>(end));
    fragments.push_back(fragment);
  }
  return fragments;
}

// The datagram that fragments make, as a frame.
FrameBytes Reassemble(const std::vector<FrameBytes>& fragments) {
  std::map<size_t, FrameBytes> parts;
  FrameBytes frame;
  const bool is_v6 = IsV6Frame(fragments.front());
  const std::ptrdiff_t header = is_v6 ? 54 : 34;
  for (const FrameBytes& fragment : fragments) {
    const uint8_t* at = fragment.data() + (is_v6 ? 54 + 2 : 14 + 6);
    const size_t field = static_cast<size_t>(at[0] << 8 | at[1]);
    const size_t offset = is_v6 ? field & 0xfff8 : (field & 0x1fff) * 8;
    parts[offset] = FrameBytes(fragment.begin() + header + (is_v6 ? 8 : 0), fragment.end());
    if (offset != 0) continue;
    if (!is_v6) {
      EXPECT_EQ(HeaderChecksum(fragment.data() + 14), fragment[24] << 8 | fragment[25]);
    }
    frame.assign(fragment.begin(), fragment.begin() + header);
    if (is_v6) frame[20] = fragment[54];
  }
  for (const auto& [offset, bytes] : parts) {
    EXPECT_EQ(frame.size(), static_cast<size_t>(header) + offset);
    frame.insert(frame.end(), bytes.begin(), bytes.end());
  }
  uint8_t* ip = frame.data() + 14;
  const size_t length = frame.size() - (is_v6 ? 54 : 14);
  ip[is_v6 ? 4 : 2] = static_cast<uint8_t>(length >> 8);
  ip[is_v6 ? 5 : 3] = static_cast<uint8_t>(length);
  if (is_v6) return frame;
  ip[6] = ip[7] = 0;
  const uint16_t checksum = HeaderChecksum(ip);
  ip[10] = static_cast<uint8_t>(checksum >> 8);
  ip[11] = static_cast<uint8_t>(checksum);
  return frame;
}

class FragmentsTest : public testing::Test {
 protected:
  void Serve(ForwardingMethod method, const Endpoints& family = kEndpointsV4) {
    std::vector<DestinationSpec> servers;
    for (int i = 1; i <= 3; ++i) {
      servers.push_back(PipelineRig::Server(family.Server(i), 5353));
      servers.back().method = method;
    }
    ForwardingSpec forwarding = PipelineRig::DefaultForwarding();
    for (RouteSpec& route : forwarding.routes) {
      if (route.legs.front().interface == 2)
        route.source = *IpAddress::Parse(route.prefix.IsV4() ? "10.1.0.254" : "fd00:b::fe");
    }
    rig_.SetForwarding(forwarding);
    rig_.AddService(family.service, 53, Protocol::kUdp, "rr", servers);
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
  void ForEveryOrder(const Endpoints& family, Check check) {
    std::vector<size_t> order = {0, 1, 2, 3};
    uint16_t client = 1000;
    do {
      SCOPED_TRACE(testing::PrintToString(order));
      const std::vector<FrameBytes> fragments = Fragments(family.client, client, family.service, 53, client);
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

class FragmentsOfFamilyTest : public FragmentsTest, public testing::WithParamInterface<Endpoints> {};
INSTANTIATE_TEST_SUITE_P(Families, FragmentsOfFamilyTest, testing::Values(kEndpointsV4, kEndpointsV6),
                         [](const auto& each) { return each.param.is_v6 ? "Ipv6" : "Ipv4"; });

TEST_P(FragmentsOfFamilyTest, NatInEveryOrder) {
  const Endpoints& family = GetParam();
  Serve(ForwardingMethod::kNat, family);
  int next = 3;
  ForEveryOrder(family, [&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    const std::vector<FrameBytes> out = FramesOf(SendOneByOne(ordered), "wire 1");
    ASSERT_EQ(out.size(), 4u);
    const FrameBytes whole = Reassemble(out);
    EXPECT_EQ(ChecksumFaults(whole), "");
    const std::string server = family.Server(next);
    EXPECT_EQ(Describe(whole), family.Name(family.client, client) + " > " +
                                   family.Name(server.c_str(), 5353) + " udp ttl 63 len " + family.Length());
    // The answer, in another order of pieces.
    const std::vector<FrameBytes> reply = Fragments(server, 5353, family.client, client, client);
    const FrameBytes answer =
        Reassemble(FramesOf(SendOneByOne({reply[3], reply[1], reply[0], reply[2]}, 1), "wire 0"));
    EXPECT_EQ(ChecksumFaults(answer), "");
    EXPECT_EQ(Describe(answer), family.Name(family.service, 53) + " > " + family.Name(family.client, client) +
                                    " udp ttl 63 len " + family.Length());
    next = next == 1 ? 3 : next - 1;
  });
  EXPECT_EQ(rig_.Count(Counter::kConnectionsCreated), 24u);
}

TEST_P(FragmentsOfFamilyTest, DirectRoutingInEveryOrder) {
  const Endpoints& family = GetParam();
  Serve(ForwardingMethod::kDirect, family);
  ForEveryOrder(family, [&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    const std::vector<FrameBytes> out = FramesOf(SendOneByOne(ordered), "wire 1");
    ASSERT_EQ(out.size(), 4u);
    for (const FrameBytes& frame : out) EXPECT_EQ(frame[5], out[0][5]) << "all to one server's MAC address";
    EXPECT_EQ(Describe(Reassemble(out)), family.Name(family.client, client) + " > " +
                                             family.Name(family.service, 53) + " udp ttl 63 len " +
                                             family.Length());
  });
}

TEST_P(FragmentsOfFamilyTest, TunnelsInEveryOrder) {
  const Endpoints& family = GetParam();
  Serve(ForwardingMethod::kTunnel, family);
  ForEveryOrder(family, [&](const std::vector<FrameBytes>& ordered, uint16_t client) {
    std::vector<FrameBytes> inside;
    for (const FrameBytes& frame : FramesOf(SendOneByOne(ordered), "wire 1")) {
      EXPECT_EQ(family.is_v6 ? frame[20] : frame[23], family.is_v6 ? 41 : 4);
      FrameBytes inner(frame.begin(), frame.begin() + 14);
      inner.insert(inner.end(), frame.begin() + (family.is_v6 ? 54 : 34), frame.end());
      inside.push_back(inner);
    }
    ASSERT_EQ(inside.size(), 4u);
    EXPECT_EQ(ChecksumFaults(Reassemble(inside)), "");
    EXPECT_EQ(Describe(Reassemble(inside)), family.Name(family.client, client) + " > " +
                                                family.Name(family.service, 53) + " udp ttl 63 len " +
                                                family.Length());
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
  EXPECT_EQ(rig_.worker->fragments.waiting(), 128);
  EXPECT_EQ(rig_.Count(Counter::kDropFragmentsFull), 5000u - 128u);
  // Datagrams whose first fragment comes first need no place.
  const std::vector<FrameBytes> out =
      FramesOf(SendOneByOne(Fragments("10.0.0.1", 1000, "10.99.0.1", 53)), "wire 1");
  EXPECT_EQ(out.size(), 4u);
  rig_.Advance(2);
  EXPECT_EQ(rig_.worker->fragments.waiting(), 0);
}

// Fragments of many sources: the latest wait, for they are likeliest to see their first.
TEST_F(FragmentsTest, AFloodOfManySourcesEvictsTheOldest) {
  Serve(ForwardingMethod::kNat);
  for (uint16_t i = 0; i < 2000; ++i) {
    const std::string source = "10.0." + std::to_string(i % 200) + ".9";
    SendOneByOne({Fragments(source, 1, "10.99.0.1", 53, i)[1]});
  }
  const std::vector<FrameBytes> late = Fragments("10.0.0.1", 1000, "10.99.0.1", 53);
  SendOneByOne({late[1], late[2]});
  EXPECT_EQ(rig_.worker->fragments.waiting(), 256);
  EXPECT_EQ(rig_.Count(Counter::kFragmentsEvicted), 2002u - 256u);
  rig_.Send({late[0]});
  EXPECT_EQ(rig_.released().size(), 2u);
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
