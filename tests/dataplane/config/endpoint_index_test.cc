#include "dataplane/config/endpoint_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

namespace sluice {
namespace {

Endpoint EndpointOf(uint32_t n) {
  IpAddress address = IpAddress::FromV4(Be32::FromHost(0x0a000000 + n / 8));
  if (n / 8 % 2 == 1) address.bytes[0] = 0x20;  // IPv6
  return {address, Be16::FromHost(static_cast<uint16_t>(80 + n % 4)),
          n % 8 < 4 ? Protocol::kTcp : Protocol::kUdp};
}

TEST(EndpointIndexTest, RolesAreApart) {
  EndpointIndex index;
  const Service service{ServiceSpec{}};
  const Endpoint endpoint = EndpointOf(1);
  const IpAddress& address = endpoint.address;
  index.SetService(endpoint, &service);
  EXPECT_EQ(index.FindService(address, endpoint.port, endpoint.protocol), &service);
  EXPECT_FALSE(index.IsRealServer(address, endpoint.port, endpoint.protocol));
  EXPECT_EQ(index.FindService(address, endpoint.port, Protocol::kUdp), nullptr);
  index.SetRealServer(endpoint, 2);
  index.SetService(endpoint, nullptr);
  EXPECT_EQ(index.FindService(address, endpoint.port, endpoint.protocol), nullptr);
  EXPECT_TRUE(index.IsRealServer(address, endpoint.port, endpoint.protocol));
}

TEST(EndpointIndexTest, AgreesWithAMap) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  EndpointIndex index;
  std::map<uint32_t, const Service*> services;
  std::map<uint32_t, bool> servers;
  std::deque<Service> objects;
  for (int i = 0; i < 16; ++i) objects.emplace_back(ServiceSpec{});
  for (int i = 0; i < 200'000; ++i) {
    const uint32_t n = random() % 2000;
    const Endpoint endpoint = EndpointOf(n);
    if (random() % 2 == 0) {
      const Service* service = random() % 3 == 0 ? nullptr : &objects[random() % objects.size()];
      index.SetService(endpoint, service);
      services[n] = service;
    } else {
      servers[n] = random() % 3 != 0;
      index.SetRealServer(endpoint, servers[n]);
    }
    const uint32_t asked = random() % 2000;
    const Endpoint question = EndpointOf(asked);
    ASSERT_EQ(index.FindService(question.address, question.port, question.protocol), services[asked]);
    ASSERT_EQ(index.IsRealServer(question.address, question.port, question.protocol), servers[asked]);
  }
}

}  // namespace
}  // namespace sluice
