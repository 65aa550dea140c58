#include "dataplane/net/ip_address.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

TEST(IpAddressTest, ParsesAndWrites) {
  for (const char* text :
       {"0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4"}) {
    const std::optional<IpAddress> address = IpAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(IpAddress::Parse("2001:0db8:0:0::0001")->ToString(), "2001:db8::1");
}

TEST(IpAddressTest, RefusesEverythingElse) {
  for (const char* text :
       {"", " ", "10.0.0", "10.0.0.256", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1:80", "10.0.0.1/24", "010.0.0.1",
        "localhost", "1", "::ffff:10.0.0.1", "2001:db8::1%eth0", "[::1]", ":::", "1:2:3:4:5:6:7:8:9"}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string_view("10.0.0.1\0", 9)));
  EXPECT_FALSE(IpAddress::Parse(std::string(1000, '1')));
}

TEST(IpAddressTest, FamiliesAndKinds) {
  EXPECT_TRUE(IpAddress::Parse("10.0.0.1")->IsV4());
  EXPECT_FALSE(IpAddress::Parse("::1")->IsV4());
  EXPECT_TRUE(IpAddress::Parse("224.0.0.1")->IsMulticast());
  EXPECT_FALSE(IpAddress::Parse("223.255.255.255")->IsMulticast());
  EXPECT_TRUE(IpAddress::Parse("ff02::1")->IsMulticast());
  EXPECT_TRUE(IpAddress::Parse("0.0.0.0")->IsUnspecified());
  EXPECT_TRUE(IpAddress::Parse("::")->IsUnspecified());
  EXPECT_EQ(IpAddress::FromV4(IpAddress::Parse("10.1.2.3")->V4()), *IpAddress::Parse("10.1.2.3"));
  EXPECT_LT(*IpAddress::Parse("9.255.255.255"), *IpAddress::Parse("10.0.0.0"));
}

TEST(IpAddressTest, InTheOrderOfTheirBytes) {
  std::mt19937 random(7);
  for (int i = 0; i < 10000; ++i) {
    IpAddress a, b;
    for (uint8_t& byte : a.bytes) byte = static_cast<uint8_t>(random());
    b = a;
    if (random() % 4 != 0) b.bytes[random() % 16] = static_cast<uint8_t>(random());
    const int order = std::memcmp(a.bytes.data(), b.bytes.data(), 16);
    ASSERT_EQ(a == b, order == 0);
    ASSERT_EQ(a < b, order < 0) << a.ToString() << " " << b.ToString();
    ASSERT_EQ(a > b, order > 0);
  }
}

TEST(IpAddressTest, Endpoints) {
  EXPECT_EQ(EndpointToString(*IpAddress::Parse("10.0.0.1"), Be16::FromHost(80)), "10.0.0.1:80");
  EXPECT_EQ(EndpointToString(*IpAddress::Parse("2001:db8::1"), Be16::FromHost(443)), "[2001:db8::1]:443");
}

}  // namespace
}  // namespace sluice
