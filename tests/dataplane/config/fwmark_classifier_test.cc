// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/fwmark_classifier.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace sluice {
namespace {

FwmarkRule Rule(uint32_t mark, const std::string& prefix, uint8_t length, uint16_t first = 0,
                uint16_t last = 65535) {
  return {.fwmark = mark,
          .prefix = *IpAddress::Parse(prefix),
          .prefix_length = length,
          .first_port = first,
          .last_port = last};
}

uint32_t MarkOf(const FwmarkClassifier& classifier, const std::string& address, uint16_t port,
                Protocol protocol = Protocol::kTcp) {
  return classifier.MarkOf(*IpAddress::Parse(address), Be16::FromHost(port), protocol);
}

TEST(FwmarkClassifierTest, TheFirstRuleThatMatchesCounts) {
  FwmarkRule udp = Rule(4, "10.0.0.0", 8);
  udp.protocol = Protocol::kUdp;
  const FwmarkClassifier classifier(
      {Rule(1, "10.99.0.0", 16, 80, 90), udp, Rule(2, "10.99.0.1", 32), Rule(3, "0.0.0.0", 0, 443, 443)});
  EXPECT_EQ(MarkOf(classifier, "10.99.0.1", 80), 1u);
  EXPECT_EQ(MarkOf(classifier, "10.99.0.1", 90), 1u);
  EXPECT_EQ(MarkOf(classifier, "10.99.0.1", 91), 2u);
  EXPECT_EQ(MarkOf(classifier, "10.99.0.1", 443), 2u) << "before the wider rule";
  EXPECT_EQ(MarkOf(classifier, "10.99.0.2", 443), 3u);
  EXPECT_EQ(MarkOf(classifier, "10.99.0.2", 444), 0u);
  EXPECT_EQ(MarkOf(classifier, "10.99.0.1", 444, Protocol::kUdp), 4u) << "the wider, for it comes first";
  EXPECT_EQ(MarkOf(FwmarkClassifier(), "10.99.0.1", 80), 0u);
}

TEST(FwmarkClassifierTest, Ipv6) {
  const FwmarkClassifier classifier({Rule(1, "2001:db8::", 33), Rule(2, "0.0.0.0", 0)});
  EXPECT_EQ(MarkOf(classifier, "2001:db8:7fff::1", 1), 1u);
  EXPECT_EQ(MarkOf(classifier, "2001:db8:8000::1", 1), 0u);
  EXPECT_EQ(MarkOf(classifier, "10.0.0.1", 1), 2u);
}

TEST(FwmarkClassifierTest, AsAWalkOverTheRules) {
  std::mt19937 random(3);
  std::vector<FwmarkRule> rules;
  for (uint32_t i = 1; i <= 300; ++i) {
    const auto length = static_cast<uint8_t>(20 + random() % 13);
    const IpAddress address =
        IpAddress::FromV4(Be32::FromHost(0x0a000000 + random() % 4096)).Prefix(96 + length);
    const auto first = static_cast<uint16_t>(random() % 100);
    FwmarkRule rule{.fwmark = i,
                    .prefix = address,
                    .prefix_length = length,
                    .first_port = first,
                    .last_port = static_cast<uint16_t>(first + random() % 20)};
    if (random() % 2 == 0) rule.protocol = random() % 2 == 0 ? Protocol::kTcp : Protocol::kUdp;
    rules.push_back(rule);
  }
  const FwmarkClassifier classifier(rules);
  for (int i = 0; i < 20'000; ++i) {
    const IpAddress address = IpAddress::FromV4(Be32::FromHost(0x0a000000 + random() % 4096));
    const auto port = static_cast<uint16_t>(random() % 120);
    const Protocol protocol = random() % 2 == 0 ? Protocol::kTcp : Protocol::kUdp;
    uint32_t expected = 0;
    for (const FwmarkRule& rule : rules) {
      if (expected != 0 || (rule.protocol && *rule.protocol != protocol)) continue;
      if (port < rule.first_port || port > rule.last_port) continue;
      if (address.Prefix(rule.prefix_length) == rule.prefix) expected = rule.fwmark;
    }
    ASSERT_EQ(classifier.MarkOf(address, Be16::FromHost(port), protocol), expected);
  }
}

}  // namespace
}  // namespace sluice
