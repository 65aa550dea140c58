#include "dataplane/net/address_fault.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>

#include "dataplane/net/ip_address.h"

namespace sluice {
namespace {

Be32 V4(const char* text) { return IpAddress::Parse(text)->V4(); }
// IpAddress does not parse the mapped form.
Ipv6Address V6(const char* text) {
  Ipv6Address address;
  EXPECT_EQ(inet_pton(AF_INET6, text, address.bytes.data()), 1) << text;
  return address;
}

TEST(AddressFaultTest, Ipv4) {
  for (const char* text : {"0.0.0.0", "0.1.2.3"}) EXPECT_EQ(FaultOf(V4(text)), AddressFault::kUnspecified);
  for (const char* text : {"127.0.0.1", "127.255.0.1"}) EXPECT_EQ(FaultOf(V4(text)), AddressFault::kLoopback);
  for (const char* text : {"224.0.0.1", "239.255.255.255"})
    EXPECT_EQ(FaultOf(V4(text)), AddressFault::kMulticast);
  for (const char* text : {"1.0.0.0", "10.0.0.1", "126.1.1.1", "128.0.0.1", "169.254.0.1", "223.255.255.255",
                           "240.0.0.1", "255.255.255.255"})
    EXPECT_EQ(FaultOf(V4(text)), AddressFault::kNone) << text;
}

TEST(AddressFaultTest, Ipv6) {
  EXPECT_EQ(FaultOf(V6("::")), AddressFault::kUnspecified);
  EXPECT_EQ(FaultOf(V6("::1")), AddressFault::kLoopback);
  for (const char* text : {"ff00::", "ff02::1"}) EXPECT_EQ(FaultOf(V6(text)), AddressFault::kMulticast);
  for (const char* text : {"::ffff:10.0.0.1", "::ffff:0.0.0.0", "::10.0.0.1", "::2"})
    EXPECT_EQ(FaultOf(V6(text)), AddressFault::kIpv4Notation) << text;
  for (const char* text : {"2001:db8::1", "fe80::1", "fd00::", "64:ff9b::10.0.0.1", "::ffff:0:10.0.0.1",
                           "::1:0:0", "1::ffff:10.0.0.1"})
    EXPECT_EQ(FaultOf(V6(text)), AddressFault::kNone) << text;
}

// The plain way may take a sound address for a faulty one, never the other way round.
TEST(AddressFaultTest, PlainAddressesHaveNoFault) {
  for (uint32_t first = 0; first < 256; ++first) {
    for (const uint32_t other : {10u, 0u, 127u, 224u}) {
      const bool has_fault =
          FaultOf(Be32{first}) != AddressFault::kNone || FaultOf(Be32{other}) != AddressFault::kNone;
      EXPECT_FALSE(has_fault && AreAddressesPlain(first | uint64_t{other} << 32)) << first << " " << other;
      EXPECT_FALSE(has_fault && AreAddressesPlain(other | uint64_t{first} << 32)) << first << " " << other;
    }
  }
  EXPECT_TRUE(AreAddressesPlain(10 | uint64_t{223} << 32));
  const Ipv6Address sound = V6("2001:db8::1");
  EXPECT_TRUE(AreAddressesPlain(sound, sound));
  for (const char* text : {"::", "::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1"}) {
    EXPECT_FALSE(AreAddressesPlain(sound, V6(text))) << text;
    EXPECT_FALSE(AreAddressesPlain(V6(text), sound)) << text;
  }
}

}  // namespace
}  // namespace sluice
