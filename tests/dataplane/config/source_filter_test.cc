// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/source_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace sluice {
namespace {

SourceRanges::Prefix Prefix(const std::string& address, uint8_t length) {
  return {*IpAddress::Parse(address), length};
}
bool Admits(const SourceFilter& filter, const std::string& address) {
  return filter.Admits(*IpAddress::Parse(address));
}

TEST(SourceFilterTest, AllowedOnly) {
  const SourceFilter filter({.allow = {Prefix("10.0.0.0", 8), Prefix("192.168.1.1", 32)}, .deny = {}});
  EXPECT_TRUE(Admits(filter, "10.0.0.0"));
  EXPECT_TRUE(Admits(filter, "10.255.255.255"));
  EXPECT_TRUE(Admits(filter, "192.168.1.1"));
  EXPECT_FALSE(Admits(filter, "192.168.1.0"));
  EXPECT_FALSE(Admits(filter, "192.168.1.2"));
  EXPECT_FALSE(Admits(filter, "9.255.255.255"));
  EXPECT_FALSE(Admits(filter, "11.0.0.0"));
  EXPECT_FALSE(Admits(filter, "0.0.0.0"));
  EXPECT_FALSE(Admits(filter, "255.255.255.255"));
}

TEST(SourceFilterTest, DeniedOnly) {
  const SourceFilter filter({.allow = {}, .deny = {Prefix("255.255.255.255", 32), Prefix("0.0.0.0", 32)}});
  EXPECT_FALSE(Admits(filter, "0.0.0.0"));
  EXPECT_TRUE(Admits(filter, "0.0.0.1"));
  EXPECT_TRUE(Admits(filter, "10.0.0.1"));
  EXPECT_TRUE(Admits(filter, "255.255.255.254"));
  EXPECT_FALSE(Admits(filter, "255.255.255.255"));
}

TEST(SourceFilterTest, TheLongestDecidesAndOfEqualOnesTheDenied) {
  const SourceFilter filter(
      {.allow = {Prefix("10.0.0.0", 8), Prefix("10.1.2.0", 24), Prefix("10.9.0.0", 16)},
       .deny = {Prefix("10.1.0.0", 16), Prefix("10.1.2.3", 32), Prefix("10.9.0.0", 16)}});
  EXPECT_TRUE(Admits(filter, "10.0.0.1"));
  EXPECT_FALSE(Admits(filter, "10.1.0.1"));
  EXPECT_TRUE(Admits(filter, "10.1.2.4"));
  EXPECT_FALSE(Admits(filter, "10.1.2.3"));
  EXPECT_TRUE(Admits(filter, "10.1.2.255"));
  EXPECT_FALSE(Admits(filter, "10.1.3.0"));
  EXPECT_TRUE(Admits(filter, "10.2.0.0"));
  EXPECT_FALSE(Admits(filter, "10.9.1.1"));
}

std::string RangesOf(const SourceRanges& prefixes) {
  std::string text;
  for (const auto& [first, last] : SourceFilter(prefixes).AdmittedRanges())
    text += first.ToString() + "-" + last.ToString() + " ";
  return text;
}

TEST(SourceFilterTest, ItsRanges) {
  EXPECT_EQ(RangesOf({.allow = {Prefix("10.0.0.0", 8), Prefix("192.168.1.1", 32)},
                      .deny = {Prefix("10.1.0.0", 16)}}),
            "10.0.0.0-10.0.255.255 10.2.0.0-10.255.255.255 192.168.1.1-192.168.1.1 ");
  EXPECT_EQ(RangesOf({.allow = {}, .deny = {Prefix("10.0.0.0", 8)}}),
            "0.0.0.0-9.255.255.255 11.0.0.0-255.255.255.255 ");
  EXPECT_EQ(RangesOf({.allow = {Prefix("0.0.0.0", 0)}, .deny = {Prefix("0.0.0.0", 0)}}), "");
  EXPECT_EQ(RangesOf({.allow = {}, .deny = {Prefix("fd00::", 8)}}),
            "::-fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ");
}

TEST(SourceFilterTest, Everybody) {
  EXPECT_TRUE(Admits(SourceFilter({.allow = {Prefix("0.0.0.0", 0)}, .deny = {}}), "1.2.3.4"));
  EXPECT_FALSE(Admits(SourceFilter({.allow = {}, .deny = {Prefix("0.0.0.0", 0)}}), "1.2.3.4"));
}

// The same number in the low bits of an address of either family.
IpAddress AddressOf(bool is_v6, uint32_t number) {
  IpAddress address = IpAddress::FromV4(Be32::FromHost(number));
  if (!is_v6) return address;
  address.bytes[0] = 0x20;
  return IpAddress::FromV6(Ipv6Address{address.bytes});
}

TEST(SourceFilterTest, AsAWalkOverThePrefixes) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const bool is_v6 = round >= 20;
    SourceRanges ranges;
    for (int i = 0; i < 300; ++i) {
      const auto length = static_cast<uint8_t>(8 + random() % 25);
      const int whole = is_v6 ? 96 + length : length;
      const IpAddress address = AddressOf(is_v6, 0x0a000000 | (random() & 0x0003ffff)).Prefix(whole);
      (random() % 2 == 0 ? ranges.allow : ranges.deny).push_back({address, static_cast<uint8_t>(whole)});
    }
    if (round % 2 == 0) ranges.allow.clear();
    const SourceFilter filter(ranges);
    for (int i = 0; i < 5000; ++i) {
      const IpAddress address = AddressOf(is_v6, 0x0a000000 | (random() & 0x0007ffff));
      bool expected = ranges.allow.empty();
      int longest = -1;
      for (const auto& prefix : ranges.allow) {
        if (address.Prefix(prefix.length) == prefix.address && prefix.length > longest)
          longest = prefix.length, expected = true;
      }
      for (const auto& prefix : ranges.deny) {
        if (address.Prefix(prefix.length) == prefix.address && prefix.length >= longest)
          longest = prefix.length, expected = false;
      }
      ASSERT_EQ(filter.Admits(address), expected) << address.ToString() << " round " << round;
    }
  }
}

}  // namespace
}  // namespace sluice
