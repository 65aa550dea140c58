#include "dataplane/net/flow_hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice {
namespace {

const HashSecret kSecret = {{0x1122334455667788, 0x99aabbccddeeff00, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};

FlowTuple TupleOf(uint32_t source, uint16_t port) {
  return FlowTuple::Of(Be32::FromHost(source), Be32::FromHost(0x0a630001), Be16::FromHost(port),
                       Be16::FromHost(80), Protocol::kTcp);
}

TEST(FlowHashTest, TheTupleKeepsItsFields) {
  const FlowTuple tuple = TupleOf(0x0a000001, 1234);
  EXPECT_EQ(tuple.source(), Be32::FromHost(0x0a000001));
  EXPECT_EQ(tuple.destination(), Be32::FromHost(0x0a630001));
  EXPECT_EQ(tuple.source_port(), Be16::FromHost(1234));
  EXPECT_EQ(tuple.destination_port(), Be16::FromHost(80));
  EXPECT_EQ(tuple.protocol(), Protocol::kTcp);
  EXPECT_EQ(tuple.Reversed().source(), tuple.destination());
  EXPECT_EQ(tuple.Reversed().source_port(), tuple.destination_port());
  EXPECT_EQ(tuple.Reversed().Reversed(), tuple);
}

TEST(FlowHashTest, EveryInputBitReachesEveryOutputBit) {
  const FlowTuple tuple = TupleOf(0x0a000001, 1234);
  int flips[64] = {};
  int inputs = 0;
  for (int bit = 0; bit < 104; ++bit) {
    for (uint32_t base = 0; base < 64; ++base) {
      FlowTuple a = TupleOf(0x0a000000 + base * 77, static_cast<uint16_t>(1000 + base));
      FlowTuple b = a;
      (bit < 64 ? b.addresses : b.rest) ^= uint64_t{1} << (bit % 64);
      const uint64_t difference = FlowHash(a, kSecret) ^ FlowHash(b, kSecret);
      for (int out = 0; out < 64; ++out) flips[out] += difference >> out & 1;
      ++inputs;
    }
  }
  for (const int count : flips) EXPECT_NEAR(count, inputs / 2, inputs / 20);
  EXPECT_NE(FlowHash(tuple, kSecret), FlowHash(tuple, HashSecret{{1, 2, 3, 5}}));
}

TEST(FlowHashTest, SecretsDiffer) {
  const HashSecret a = HashSecret::Random();
  const HashSecret b = HashSecret::Random();
  EXPECT_NE(a.words[0], b.words[0]);
}

TEST(FlowHashTest, OwnersAreEvenForAnyNumberOfWorkers) {
  for (const uint32_t workers : {1u, 2u, 3u, 7u, 64u}) {
    std::vector<int> owned(workers);
    constexpr int kClients = 64'000;
    for (int i = 0; i < kClients; ++i) {
      ++owned.at(OwnerOfClient(Be32::FromHost(0x0a000000 + i / 100),
                               Be16::FromHost(static_cast<uint16_t>(32768 + i % 100)), Protocol::kTcp,
                               kSecret, workers));
    }
    for (const int count : owned)
      EXPECT_NEAR(count, kClients / static_cast<int>(workers), 6 * std::sqrt(kClients / workers) + 1);
  }
}

}  // namespace
}  // namespace sluice
