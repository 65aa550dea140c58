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
  EXPECT_TRUE(IpAddress::Parse("0.0.0.0")->IsUnspecified());
  EXPECT_TRUE(IpAddress::Parse("::")->IsUnspecified());
  EXPECT_EQ(IpAddress::FromV4(IpAddress::Parse("10.1.2.3")->V4()), *IpAddress::Parse("10.1.2.3"));
  EXPECT_LT(*IpAddress::Parse("9.255.255.255"), *IpAddress::Parse("10.0.0.0"));
}

// Equal bytes in packets of either family are two addresses.
TEST(IpAddressTest, TheFamilyIsNotInTheBytes) {
  const IpAddress v4 = *IpAddress::Parse("10.0.0.1");
  const IpAddress compatible = IpAddress::FromV6(Ipv6Address{v4.bytes});
  Ipv6Address bytes{v4.bytes};
  bytes.bytes[10] = bytes.bytes[11] = 0xff;
  const IpAddress mapped = IpAddress::FromV6(bytes);
  for (const IpAddress& v6 : {compatible, mapped}) {
    EXPECT_FALSE(v6.IsV4());
    EXPECT_NE(v6, v4);
    EXPECT_LT(v4, v6);
    EXPECT_FALSE(v6.CanBeHost()) << v6.ToString();
    EXPECT_EQ(v6.bits(), 128);
  }
  EXPECT_NE(IpAddress::Unspecified(AddressFamily::kIpv4), IpAddress::Unspecified(AddressFamily::kIpv6));
  EXPECT_LT(IpAddress{}, IpAddress::Unspecified(AddressFamily::kIpv4)) << "no address at all";
}

TEST(IpAddressTest, APrefixIsOfTheAddressesOwnFamilyAndNeverLongerThanIt) {
  const auto prefix = [](const char* text, int length) {
    return IpAddress::Parse(text)->Prefix(length).ToString();
  };
  EXPECT_EQ(prefix("10.255.255.255", 0), "0.0.0.0");
  EXPECT_EQ(prefix("10.255.255.255", 9), "10.128.0.0");
  EXPECT_EQ(prefix("10.255.255.255", 32), "10.255.255.255");
  EXPECT_EQ(prefix("10.255.255.255", 128), "10.255.255.255");
  EXPECT_EQ(prefix("2001:db8:ffff::1", 35), "2001:db8:e000::");
  EXPECT_EQ(prefix("2001:db8:ffff::1", 128), "2001:db8:ffff::1");
  EXPECT_EQ(prefix("2001:db8:ffff::1", 224), "2001:db8:ffff::1");
  EXPECT_EQ(prefix("2001:db8:ffff::1", 0), "::");
}

TEST(IpAddressTest, InTheOrderOfTheirBytes) {
  std::mt19937 random(7);
  for (int i = 0; i < 10000; ++i) {
    IpAddress a = IpAddress::Unspecified(AddressFamily::kIpv6), b;
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
