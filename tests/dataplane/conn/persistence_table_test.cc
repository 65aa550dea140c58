// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/persistence.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace sluice {
namespace {

constexpr Jiffies kStart = 0xffffff00;  // wraps in a second

class PersistenceTableTest : public testing::Test {
 protected:
  PersistenceTableTest() {
    for (int i = 0; i < 3; ++i) {
      const DestinationId id = destinations_.Allocate();
      destinations_.SetTraits(id, kAvailable, 0);
      candidates_.push_back({.address = *IpAddress::Parse("10.1.0." + std::to_string(i + 1)),
                             .port = Be16::FromHost(80),
                             .id = id,
                             .load = &destinations_.load(id)});
    }
  }

  static TemplateKey KeyOf(const std::string& client, int prefix_bits) {
    return {.client = IpAddress::Parse(client)->Prefix(prefix_bits),
            .virtual_address = *IpAddress::Parse("2001:db8::80"),
            .virtual_port = Be16::FromHost(80),
            .protocol = Protocol::kTcp};
  }
  PersistenceTable::Joined Join(const TemplateKey& key, int candidate, uint32_t seconds = 10) {
    return table_.Join(
        {.key = key, .timeout = JiffiesFromSeconds(seconds), .expire_quiescent = false}, now_,
        [&] { return candidate < 0 ? nullptr : &candidates_[static_cast<size_t>(candidate)]; });
  }
  void Advance(uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * 10; ++i) {
      now_ += kJiffiesPerSecond / 10;
      while (table_.Expire(now_) > 0) {
      }
    }
  }
  uint64_t Forget(const std::vector<bool>& destinations) {
    uint64_t forgotten = 0;
    for (PersistenceTable::Cursor cursor; !cursor.AtEnd();)
      forgotten += table_.ForgetSome(cursor, destinations);
    return forgotten;
  }
  int Persistent(int candidate) { return candidates_[static_cast<size_t>(candidate)].load->persistent; }

  DestinationTable destinations_;
  std::vector<Candidate> candidates_;
  Jiffies now_ = kStart;
  PersistenceTable table_{160, HashSecret{{1, 2, 3, 4}}, kStart, destinations_};
};

TEST_F(PersistenceTableTest, Ipv6NetworksStayTogether) {
  const auto first = Join(KeyOf("2001:db8:1::1", 64), 0);
  EXPECT_EQ(first.destination_id, candidates_[0].id);
  EXPECT_EQ(Join(KeyOf("2001:db8:1::ffff:1", 64), 1).id, first.id) << "the same /64";
  EXPECT_EQ(Join(KeyOf("2001:db8:1:1::1", 64), 1).destination_id, candidates_[1].id) << "the next";
  EXPECT_EQ(Join(KeyOf("2001:db8:1::1", 128), 2).destination_id, candidates_[2].id)
      << "another mask, another key";
  EXPECT_EQ(Persistent(0), 1);
  EXPECT_EQ(table_.size(), 3u);
}

TEST_F(PersistenceTableTest, AnothersLivesForTheRestOfItsTimeAndIsUsedMeanwhile) {
  const TemplateKey key = KeyOf("2001:db8::1", 128), other = KeyOf("2001:db8::2", 128);
  const Template adopted{.key = key,
                         .destination = candidates_[1].address,
                         .destination_port = candidates_[1].port,
                         .destination_id = candidates_[1].id,
                         .timeout = JiffiesFromSeconds(10),
                         .deadline = now_ + JiffiesFromSeconds(4),
                         .assured = true};
  EXPECT_TRUE(table_.Adopt(adopted));
  EXPECT_FALSE(table_.Adopt(adopted)) << "there is one";
  Template unused = adopted;
  unused.key = other;
  EXPECT_TRUE(table_.Adopt(unused));
  EXPECT_EQ(Persistent(1), 2);
  Advance(3);
  EXPECT_EQ(Join(key, 0).destination_id, candidates_[1].id);
  Advance(3);
  EXPECT_FALSE(table_.Find(other, false)) << "its time was up";
  EXPECT_TRUE(table_.Find(key, false)) << "it begins anew";
}

TEST_F(PersistenceTableTest, LivesForItsTimeAndAMinuteMoreWhileItIsHeld) {
  const TemplateKey key = KeyOf("2001:db8::1", 128);
  const TemplateId id = Join(key, 0).id;
  Advance(11);
  EXPECT_EQ(table_.size(), 1u) << "held";
  Advance(30);
  table_.Leave(id);
  Advance(28);
  EXPECT_EQ(table_.size(), 1u) << "its minute is not over";
  Advance(3);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Persistent(0), 0);
}

TEST_F(PersistenceTableTest, NobodyChosenNothingMade) {
  EXPECT_EQ(Join(KeyOf("2001:db8::1", 128), -1).id, kNoTemplate);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(PersistenceTableTest, AFullTableOfHeldTemplatesSaysSo) {
  int full = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto joined = Join(KeyOf("2001:db8::" + std::to_string(i), 128), 0);
    if (!joined.full) table_.Assure(joined.id);
    full += joined.full;
  }
  EXPECT_EQ(static_cast<int>(table_.size()) + full, 1000);
  EXPECT_GE(table_.size(), 160u / 2) << "shards fill unevenly, but not by so much";
  EXPECT_LE(table_.size(), 160u + 16u);
}

TEST_F(PersistenceTableTest, UnassuredTemplatesAreEvictedTheUnheldFirst) {
  std::vector<TemplateId> assured;
  for (int i = 0; i < 40; ++i) {
    assured.push_back(Join(KeyOf("2001:db8:1::" + std::to_string(i), 128), 1).id);
    table_.Assure(assured.back());
  }
  for (int i = 0; i < 2000; ++i) {
    const auto joined = Join(KeyOf("2001:db8:2::" + std::to_string(i), 128), 0);
    ASSERT_FALSE(joined.full);
    if (i % 2 == 0) table_.Leave(joined.id);
  }
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(table_.Find(KeyOf("2001:db8:1::" + std::to_string(i), 128), false)) << i;
  EXPECT_EQ(Persistent(1), 40);
  EXPECT_EQ(Persistent(0) + 40, static_cast<int>(table_.size()));
}

TEST_F(PersistenceTableTest, AnEvictedTemplateIsLeftByItsConnectionsWithoutHarmToItsSuccessor) {
  std::vector<TemplateId> held;
  for (int i = 0; i < 1000; ++i) held.push_back(Join(KeyOf("2001:db8:2::" + std::to_string(i), 128), 0).id);
  for (const TemplateId id : held) table_.Assure(id);  // of those that are gone, too
  for (const TemplateId id : held) table_.Leave(id);
  table_.ForEach([](const Template& each) {
    EXPECT_EQ(each.children, 0u);
    EXPECT_TRUE(each.assured);
  });
  Advance(100);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Persistent(0), 0);
}

TEST_F(PersistenceTableTest, TheLongestIdleIsEvictedWhenAllAreAssured) {
  for (int i = 0; i < 1000; ++i) {
    const auto joined = Join(KeyOf("2001:db8:2::" + std::to_string(i), 128), 0, 1000);
    ASSERT_FALSE(joined.full) << i;
    table_.Assure(joined.id);
    table_.Leave(joined.id);
    ASSERT_FALSE(
        Join(KeyOf("2001:db8:3::", 128), 1, 1000).full);  // the first, which is in use again and again
  }
  EXPECT_EQ(table_.Find(KeyOf("2001:db8:2::999", 128), false)->destination_id, candidates_[0].id);
  EXPECT_FALSE(table_.Find(KeyOf("2001:db8:2::0", 128), false));
  EXPECT_EQ(table_.Find(KeyOf("2001:db8:3::", 128), false)->children, 1000u) << "held";
}

TEST_F(PersistenceTableTest, AnUnavailableDestinationIsLeft) {
  const TemplateKey key = KeyOf("2001:db8::1", 128);
  Join(key, 0);
  destinations_.SetTraits(candidates_[0].id, 0, kAvailable);
  EXPECT_EQ(Join(key, 1).destination_id, candidates_[1].id);
  EXPECT_EQ(table_.size(), 2u) << "the old one waits for its end";
  EXPECT_EQ(Join(key, 2).destination_id, candidates_[1].id);
}

TEST_F(PersistenceTableTest, ByForce) {
  const TemplateId embryonic = Join(KeyOf("2001:db8::1", 128), 0).id;
  table_.LeaveByForce(embryonic);
  EXPECT_EQ(table_.size(), 0u);
  const TemplateId assured = Join(KeyOf("2001:db8::1", 128), 0).id;
  table_.Assure(assured);
  table_.LeaveByForce(assured);
  EXPECT_EQ(table_.size(), 1u);
}

// A hundred thousand operations on templates of few clients, against a plain map.
TEST_F(PersistenceTableTest, ForgetsThoseOfSomeDestinations) {
  const TemplateKey keys[] = {KeyOf("2001:db8:1::1", 128), KeyOf("2001:db8:1::2", 128),
                              KeyOf("2001:db8:1::3", 128)};
  const TemplateId held = Join(keys[0], 0).id;
  table_.Assure(held);
  table_.Leave(Join(keys[1], 0).id);
  table_.Leave(Join(keys[2], 1).id);
  EXPECT_EQ(table_.Find(keys[0], false)->destination_id, candidates_[0].id);
  std::vector<bool> forgotten(candidates_.back().id + 1);
  forgotten[candidates_[0].id] = true;
  EXPECT_EQ(Forget(forgotten), 2u);
  EXPECT_EQ(table_.size(), 2u) << "one is held";
  EXPECT_FALSE(table_.Find(keys[0], false)) << "but found no more";
  EXPECT_TRUE(table_.Find(keys[2], false));
  EXPECT_NE(Join(keys[0], 1).id, held) << "its client is free";
  table_.Leave(held);
  EXPECT_EQ(Forget(forgotten), 0u) << "counted once";
  EXPECT_EQ(table_.size(), 2u) << "and now it has gone";
  EXPECT_EQ(Persistent(0), 0);
}

TEST_F(PersistenceTableTest, AsAPlainMap) {
  struct Model {
    DestinationId destination;
    std::multimap<std::string, TemplateId> held;
  };
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::map<std::string, DestinationId> model;  // no template expires: time stands still
  std::vector<std::pair<std::string, TemplateId>> held;
  for (int i = 0; i < 100'000; ++i) {
    const std::string client = "2001:db8::" + std::to_string(random() % 40);
    if (random() % 2 == 0 || held.empty()) {
      const int candidate = static_cast<int>(random() % 3);
      const auto joined = Join(KeyOf(client, 128), candidate);
      ASSERT_NE(joined.id, kNoTemplate);
      const auto [at, is_new] = model.emplace(client, candidates_[static_cast<size_t>(candidate)].id);
      ASSERT_EQ(joined.destination_id, at->second) << client;
      held.emplace_back(client, joined.id);
    } else {
      const size_t which = random() % held.size();
      const std::string name = held[which].first;
      table_.LeaveByForce(held[which].second);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      const bool still_held =
          std::any_of(held.begin(), held.end(), [&](const auto& each) { return each.first == name; });
      if (!still_held) model.erase(name);
    }
    ASSERT_EQ(table_.size(), model.size());
  }
}

}  // namespace
}  // namespace sluice
