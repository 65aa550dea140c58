// dh, sh, mh: the destinations a Linux 6.1 kernel was seen to choose, and the hashes they follow from.
#include "schedulers/hash.h"

#include <gtest/gtest.h>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

const std::vector<std::string> kClients = {"203.0.113.1",  "203.0.113.2",  "203.0.113.3",  "203.0.113.4",
                                           "203.0.113.5",  "203.0.113.6",  "203.0.113.7",  "203.0.113.8",
                                           "203.0.113.9",  "203.0.113.10", "203.0.113.77", "203.0.113.200",
                                           "198.51.100.7", "192.0.2.33",   "172.16.5.4",   "8.8.8.8"};
const std::vector<std::string> kClientsV6 = {"2001:db8::1", "2001:db8::2", "2001:db8:1:2::77",
                                             "2001:db8:ffff::9", "2a00:1450:4001:81b::200e"};
const SchedulerFlags kFallback = {.flag_1 = true};
const SchedulerFlags kPort = {.flag_2 = true};
const SchedulerFlags kBoth = {.flag_1 = true, .flag_2 = true};

TEST(HashTest, Primitives) {
  EXPECT_EQ(FoldAddress(*IpAddress::Parse("10.0.0.1")), 0x0a000001u);
  EXPECT_EQ(FoldAddress(*IpAddress::Parse("2001:db8::1")), 0x20010db9u);
  EXPECT_EQ(HashTo(1, 8), 97u);
  EXPECT_EQ(HashTo(0x0a000001, 8), 39u);
  EXPECT_EQ(HashTo(0xcb007101, 8), 50u);
  EXPECT_EQ(HashTo(1, 10), 391u);
  EXPECT_EQ(HashTo(0xcb007101, 10), 200u);
  const std::pair<uint32_t, std::pair<uint32_t, uint32_t>> vectors[] = {
      {0, {0x1d5a77c2, 0xf882433f}},
      {1, {0x16ec66b2, 0x8210aad1}},
      {0x0a000151, {0x66e6d50d, 0x46018171}},
      {0xffffffff, {0x22c5d719, 0xf75a0f5d}}};
  for (const auto& [value, hashes] : vectors) {
    EXPECT_EQ(HalfSipHash(2654435761, value), hashes.first);
    EXPECT_EQ(HalfSipHash(2654446892, value), hashes.second);
  }
}

TEST(DhTest, ByDestination) {
  SchedulerRig rig("dh", {1, 1, 1});
  std::string chosen;
  for (int i = 1; i <= 12; ++i) {
    FlowKey flow;
    flow.destination = *IpAddress::Parse("198.18.0." + std::to_string(i));
    chosen += std::to_string(rig.PickOne(flow)) + " ";
  }
  EXPECT_EQ(chosen, "1 3 1 2 2 3 2 3 1 1 2 3 ");
  EXPECT_EQ(SchedulerRig("dh", {}).Picks(1), "-");
  SchedulerRig drained("dh", {0, 0, 0});
  EXPECT_EQ(drained.Picks(1), "-");
}

TEST(ShTest, BySource) {
  EXPECT_EQ(SchedulerRig("sh", {1, 1, 1}).PicksFrom(kClients), "1 3 1 3 1 1 2 3 2 3 3 2 3 1 3 1");
  EXPECT_EQ(SchedulerRig("sh", {3, 2, 1}).PicksFrom(kClients), "2 1 1 1 1 2 1 3 1 3 1 1 1 1 3 2");
  EXPECT_EQ(SchedulerRig("sh", {1, 1, 1}, kPort).PicksFrom(kClients), "3 2 3 3 1 3 1 1 1 1 2 2 1 2 3 3");
  EXPECT_EQ(SchedulerRig("sh", {1, 0, 1}).PicksFrom(kClients), "1 3 1 3 1 1 - 3 - 3 3 - 3 1 3 1");
  EXPECT_EQ(SchedulerRig("sh", {1, 0, 1}, kFallback).PicksFrom(kClients), "1 3 1 3 1 1 1 3 1 3 3 1 3 1 3 1");
  EXPECT_EQ(SchedulerRig("sh", {1, 0, 1}, kBoth).PicksFrom(kClients), "3 1 3 3 1 3 1 1 1 1 1 1 1 1 3 3");
  EXPECT_EQ(SchedulerRig("sh", {1, 1, 1}).PicksFrom(kClientsV6), "3 2 1 1 2");
  EXPECT_EQ(SchedulerRig("sh", {}).PicksFrom({"203.0.113.1"}), "-");
  EXPECT_EQ(SchedulerRig("sh", {0, 0}, kFallback).PicksFrom({"203.0.113.1"}), "-");
}

TEST(MhTest, BySource) {
  EXPECT_EQ(SchedulerRig("mh", {1, 1, 1}).PicksFrom(kClients), "3 3 2 1 1 2 2 3 3 1 1 3 2 2 3 2");
  EXPECT_EQ(SchedulerRig("mh", {3, 2, 1}).PicksFrom(kClients), "1 3 1 1 1 1 2 1 1 1 1 1 2 2 3 2");
  EXPECT_EQ(SchedulerRig("mh", {1, 1, 1}, kPort).PicksFrom(kClients), "3 3 2 2 1 2 3 1 1 2 3 3 2 2 3 2");
  EXPECT_EQ(SchedulerRig("mh", {1, 0, 1}).PicksFrom(kClients), "3 3 1 1 1 1 1 3 3 1 1 3 3 3 3 3");
  EXPECT_EQ(SchedulerRig("mh", {100, 50, 25}).PicksFrom(kClients), "1 3 1 1 1 1 2 1 1 1 1 1 2 2 1 2");
  EXPECT_EQ(SchedulerRig("mh", {1000, 1, 1}).PicksFrom(kClients), "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2");
  EXPECT_EQ(SchedulerRig("mh", {1, 1, 1}, {}, "fd00::1").PicksFrom(kClientsV6), "1 1 2 2 1");
  EXPECT_EQ(SchedulerRig("mh", {}).PicksFrom({"203.0.113.1"}), "-");
}

TEST(MhTest, ADrainedDestinationKeepsItsShare) {
  SchedulerRig rig("mh", {1, 1, 1});
  rig.SetWeight(2, 0);
  EXPECT_EQ(rig.PicksFrom(kClients), "3 3 - 1 1 - - 3 3 1 1 3 - - 3 -");
  rig.Delete(2);
  EXPECT_EQ(rig.PicksFrom(kClients), "3 3 1 1 1 1 1 3 3 1 1 3 3 3 3 3");
  SchedulerRig fallback("mh", {1, 1, 1}, kFallback);
  fallback.SetWeight(2, 0);
  EXPECT_EQ(fallback.PicksFrom(kClients), "3 3 1 1 1 1 1 3 3 1 1 3 1 1 3 1");
}

}  // namespace
}  // namespace sluice
