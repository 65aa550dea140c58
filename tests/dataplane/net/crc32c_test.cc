// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

uint32_t Of(const std::string& text) {
  return ~Crc32c(kCrc32cStart, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Of(""), 0u);
  EXPECT_EQ(Of("123456789"), 0xe3069283u);            // the check value of every catalogue of CRCs
  EXPECT_EQ(Of(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(Of(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32cTest, GoesOnFromWhereItWas) {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    EXPECT_EQ(~Crc32c(Crc32c(kCrc32cStart, bytes, cut), bytes + cut, text.size() - cut), Of(text)) << cut;
  }
}

}  // namespace
}  // namespace sluice
