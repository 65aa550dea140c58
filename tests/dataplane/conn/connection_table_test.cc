// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/connection_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice {
namespace {

constexpr HashSecret kSecret = {{11, 22, 33, 55}};

Connection Make(uint32_t client, uint16_t client_port, uint32_t virtual_address = 0x0a630001,
                uint32_t destination = 0x0a010001) {
  Connection connection;
  connection.client = Be32::FromHost(client);
  connection.client_port = Be16::FromHost(client_port);
  connection.local = connection.client;
  connection.local_port = connection.client_port;
  connection.virtual_address = Be32::FromHost(virtual_address);
  connection.virtual_port = Be16::FromHost(80);
  connection.destination = Be32::FromHost(destination);
  connection.destination_port = Be16::FromHost(8080);
  connection.destination_id = 7;
  return connection;
}

// As the pipeline does it.
ConnectionEntry Find(const ConnectionTable& table, const FlowTuple& tuple,
                     const FlowAddresses& addresses = {}) {
  const uint64_t hash = table.Hash(tuple);
  const ConnectionEntry guess = table.Guess(hash);
  return table.Is(guess, tuple, addresses) ? guess : table.Search(tuple, addresses, hash);
}

TEST(ConnectionTable, InsertsBegunAreFoundFromTheClientAtOnceAndFromTheServerWhenFinished) {
  constexpr uint16_t kMore = 100;  // than can be begun: some are finished on the way
  ConnectionTable table(kMore + 1, kSecret);
  std::vector<Connection*> begun;
  for (uint16_t i = 0; i < kMore; ++i) {
    const Connection wanted = Make(0x0a000001, i);
    const uint32_t index = table.IndexToUse(0);
    begun.push_back(table.BeginInsert(wanted, {}, table.Hash(wanted.InTuple())));
    ASSERT_EQ(table.IndexOf(*begun.back()), index);
    ASSERT_NE(Find(table, wanted.InTuple()), 0u);
  }
  EXPECT_EQ(Find(table, begun.back()->OutTuple()), 0u);
  const FlowTuple removed = begun.back()->OutTuple();
  table.Remove(*begun.back());
  EXPECT_EQ(Find(table, removed), 0u);
  begun.pop_back();
  table.FinishInserts();
  for (const Connection* connection : begun) EXPECT_NE(Find(table, connection->OutTuple()), 0u);
  EXPECT_EQ(table.IndexToUse(1), kMore + 1u);
  EXPECT_EQ(table.IndexToUse(2), 0u);
}

TEST(ConnectionTable, FindsBothDirections) {
  ConnectionTable table(16, kSecret);
  const Connection connection = Make(0x0a000001, 1000);
  const Connection* stored = table.Insert(connection, {});
  const ConnectionEntry in = Find(table, connection.InTuple());
  const ConnectionEntry out = Find(table, connection.OutTuple());
  EXPECT_EQ(&table.At(in), stored);
  EXPECT_EQ(ConnectionTable::DirectionOf(in), Direction::kIn);
  EXPECT_EQ(&table.At(out), stored);
  EXPECT_EQ(ConnectionTable::DirectionOf(out), Direction::kOut);
  EXPECT_EQ(Find(table, connection.InTuple().Reversed()), 0u)
      << "a packet from the virtual address to the client is no reply";
}

// What stands for IPv6 addresses in a tuple may be the same for different ones.
TEST(ConnectionTable, ComparesAddressesOfIpv6Whole) {
  ConnectionTable table(16, kSecret);
  Connection connection = Make(0x0a000001, 1000);
  connection.flags |= kConnectionIpv6;
  std::vector<ConnectionAddresses> addresses;
  std::vector<Connection*> stored;
  for (int i = 0; i < 3; ++i) {
    const std::string end = std::to_string(i);
    addresses.push_back({.local = IpAddress::Parse("2001:db8::" + end)->V6(),
                         .destination = IpAddress::Parse("2001:db8:1::" + end)->V6(),
                         .virtual_address = IpAddress::Parse("2001:db8:2::" + end)->V6(),
                         .client = IpAddress::Parse("2001:db8::" + end)->V6()});
    stored.push_back(table.Insert(connection, addresses.back()));
  }
  for (size_t i = 0; i < 3; ++i) {
    const ConnectionEntry in = Find(table, connection.InTuple(), addresses[i].Of(Direction::kIn, true));
    const ConnectionEntry out = Find(table, connection.OutTuple(), addresses[i].Of(Direction::kOut, true));
    EXPECT_EQ(&table.At(in), stored[i]);
    EXPECT_EQ(&table.At(out), stored[i]);
  }
  EXPECT_EQ(Find(table, connection.InTuple(), {addresses[0].client, addresses[1].virtual_address}), 0u);
  table.Remove(*stored[1]);
  EXPECT_EQ(Find(table, connection.InTuple(), addresses[1].Of(Direction::kIn, true)), 0u);
  EXPECT_NE(Find(table, connection.InTuple(), addresses[2].Of(Direction::kIn, true)), 0u);
}

TEST(ConnectionTable, DistinguishesEveryFieldOfTheTuple) {
  ConnectionTable table(16, kSecret);
  const Connection connection = Make(0x0a000001, 1000);
  table.Insert(connection, {});
  Connection other = connection;
  other.client = Be32::FromHost(0x0a000002);
  EXPECT_EQ(Find(table, other.InTuple()), 0u);
  other = connection;
  other.client_port = Be16::FromHost(1001);
  EXPECT_EQ(Find(table, other.InTuple()), 0u);
  other = connection;
  other.virtual_address = Be32::FromHost(0x0a630002);
  EXPECT_EQ(Find(table, other.InTuple()), 0u);
  other = connection;
  other.virtual_port = Be16::FromHost(81);
  EXPECT_EQ(Find(table, other.InTuple()), 0u);
  other = connection;
  other.protocol = Protocol::kUdp;
  EXPECT_EQ(Find(table, other.InTuple()), 0u);
}

TEST(ConnectionTable, RefusesWhenFullAndAcceptsAgainAfterARemoval) {
  ConnectionTable table(100, kSecret);
  std::vector<Connection*> stored;
  for (uint16_t i = 0; i < 100; ++i) stored.push_back(table.Insert(Make(1, i), {}));
  EXPECT_EQ(table.Insert(Make(1, 100), {}), nullptr);
  EXPECT_EQ(table.size(), 100u);
  table.Remove(*stored[50]);
  EXPECT_EQ(Find(table, Make(1, 50).InTuple()), 0u);
  EXPECT_NE(table.Insert(Make(1, 100), {}), nullptr);
  EXPECT_NE(Find(table, Make(1, 100).OutTuple()), 0u);
}

// Two connections of one client port to two services on one real server: replies are ambiguous, but
// removing one must leave the other.
TEST(ConnectionTable, KeepsTheTwinOfARemovedConnectionWithEqualReplies) {
  ConnectionTable table(16, kSecret);
  Connection* first = table.Insert(Make(1, 1, 0x0a630001), {});
  Connection* second = table.Insert(Make(1, 1, 0x0a630002), {});
  table.Remove(*first);
  EXPECT_EQ(&table.At(Find(table, second->OutTuple())), second);
  EXPECT_EQ(&table.At(Find(table, second->InTuple())), second);
}

// A million random operations on a small, crowded table against a map.
TEST(ConnectionTable, AgreesWithAModel) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint32_t kCapacity = 500;
  ConnectionTable table(kCapacity, kSecret);
  std::map<std::pair<uint32_t, uint16_t>, Connection*> model;
  for (int step = 0; step < 1'000'000; ++step) {
    const std::pair<uint32_t, uint16_t> name = {random() % 8, random() % 100};
    const auto known = model.find(name);
    const Connection wanted = Make(name.first, name.second);
    const ConnectionEntry entry = Find(table, random() % 2 ? wanted.InTuple() : wanted.OutTuple());
    ASSERT_EQ(entry == 0, known == model.end());
    if (known != model.end()) {
      ASSERT_EQ(&table.At(entry), known->second);
      if (random() % 2) {
        table.Remove(*known->second);
        model.erase(known);
      }
    } else if (Connection* stored = table.Insert(wanted, {}); stored != nullptr) {
      model[name] = stored;
    } else {
      ASSERT_EQ(model.size(), kCapacity);
    }
    ASSERT_EQ(table.size(), model.size());
  }
}

}  // namespace
}  // namespace sluice
