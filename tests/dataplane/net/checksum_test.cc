#include "dataplane/net/checksum.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace sluice {
namespace {

// RFC 1071, one 16-bit word at a time.
uint16_t PlainSum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] : bytes[i] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// 0 and 0xffff are the same number in one's complement.
uint16_t Normal(uint16_t sum) { return sum == 0xffff ? 0 : sum; }

TEST(ChecksumTest, SumsBytesAtAnyAddressAndLength) {
  std::mt19937 random(1);
  for (size_t length = 0; length < 200; ++length) {
    for (size_t offset = 0; offset < 8; ++offset) {
      std::vector<uint8_t> buffer(offset + length);
      for (uint8_t& byte : buffer) byte = random() % 4 == 0 ? 0xff : static_cast<uint8_t>(random());
      const std::vector<uint8_t> bytes(buffer.begin() + static_cast<ptrdiff_t>(offset), buffer.end());
      EXPECT_EQ(Normal(FoldSum(SumBytes(buffer.data() + offset, length))), Normal(PlainSum(bytes)));
    }
  }
}

TEST(ChecksumTest, FoldsTheLargestSums) {
  EXPECT_EQ(FoldSum(0), 0);
  EXPECT_EQ(FoldSum(0xffff), 0xffff);
  EXPECT_EQ(FoldSum(0x10000), 1);
  EXPECT_EQ(FoldSum(~uint64_t{0}), 0xffff);
}

TEST(ChecksumTest, AnIncrementalUpdateIsARecomputation) {
  std::mt19937 random(2);
  for (int i = 0; i < 100'000; ++i) {
    std::vector<uint8_t> bytes(20);
    for (uint8_t& byte : bytes) byte = random() % 3 == 0 ? 0xff : static_cast<uint8_t>(random());
    const uint16_t checksum = static_cast<uint16_t>(~FoldSum(SumBytes(bytes.data(), bytes.size())));
    uint32_t before32;
    uint16_t before16;
    std::memcpy(&before32, bytes.data() + 4, 4);
    std::memcpy(&before16, bytes.data() + 12, 2);
    const auto after32 = static_cast<uint32_t>(random());
    const auto after16 = static_cast<uint16_t>(random());
    std::memcpy(bytes.data() + 4, &after32, 4);
    std::memcpy(bytes.data() + 12, &after16, 2);
    const uint16_t delta = FoldSum(SumOfChange32(before32, after32) + SumOfChange16(before16, after16));
    const uint16_t updated = UpdateChecksum(checksum, delta);
    const uint16_t expected = static_cast<uint16_t>(~FoldSum(SumBytes(bytes.data(), bytes.size())));
    EXPECT_EQ(Normal(updated), Normal(expected));
    // And back again.
    EXPECT_EQ(Normal(UpdateChecksum(updated, static_cast<uint16_t>(~delta))), Normal(checksum));
  }
}

TEST(ChecksumTest, KnownHeader) {
  // RFC 1071's neighbours: an IPv4 header seen in the wild, its checksum b861.
  std::vector<uint8_t> header = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
  const uint16_t checksum = static_cast<uint16_t>(~FoldSum(SumBytes(header.data(), header.size())));
  EXPECT_EQ(__builtin_bswap16(checksum), 0xb861);
}

}  // namespace
}  // namespace sluice
