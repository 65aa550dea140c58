// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/connection_table.h"

#include "dataplane/net/check.h"

namespace sluice {
namespace {

// Buckets so that a full table, with two entries a connection, fills 62 % of the slots: then about one
// entry in twenty is not in its home bucket.
uint64_t BucketsFor(uint32_t capacity) { return uint64_t{capacity} * 2 * 100 / (8 * 62) + 2; }

constexpr ConnectionEntry EntryOf(uint32_t index, Direction direction) {
  return index << 1 | static_cast<uint32_t>(direction);
}

}  // namespace

ConnectionTable::ConnectionTable(uint32_t capacity, const HashSecret& secret)
    : capacity_(capacity),
      bucket_count_(BucketsFor(capacity)),
      secret_(secret),
      buckets_(bucket_count_, Pages::kAtOnce),
      connections_(size_t{capacity} + 1, Pages::kAtOnce),
      addresses_(size_t{capacity} + 1),
      free_(size_t{capacity} + 1, Pages::kAtOnce) {
  SLUICE_CHECK(capacity > 0 && capacity < (1u << 31) - 1);
}

ConnectionEntry ConnectionTable::Search(const FlowTuple& tuple, const FlowAddresses& addresses,
                                        uint64_t hash) const {
  const uint16_t tag = TagOf(hash);
  for (size_t at = HomeOf(hash);; at = After(at)) {
    const Bucket& bucket = buckets_[at];
    for (uint32_t matches = Matches(bucket, tag); matches != 0; matches &= matches - 1) {
      const ConnectionEntry entry = bucket.entries[std::countr_zero(matches)];
      if (Is(entry, tuple, addresses)) return entry;
    }
    if (bucket.passed_on == 0) return 0;
  }
}

Connection* ConnectionTable::Insert(const Connection& connection, const ConnectionAddresses& addresses) {
  Connection* inserted = BeginInsert(connection, addresses, Hash(connection.InTuple()));
  FinishInserts();
  return inserted;
}

Connection* ConnectionTable::BeginInsert(const Connection& connection, const ConnectionAddresses& addresses,
                                         uint64_t hash) {
  SLUICE_CHECK(connection.destination_id != kNoDestination);
  uint32_t index;
  if (free_count_ > 0) {
    index = free_[--free_count_];
  } else if (next_unused_ <= capacity_) {
    index = next_unused_++;
  } else {
    return nullptr;
  }
  ++size_;
  connections_[index] = connection;
  if (connection.IsV6()) addresses_[index] = addresses;
  AddEntry(hash, EntryOf(index, Direction::kIn));
  if (begun_count_ == kMostBegun) FinishInserts();
  const uint64_t out_hash = Hash(connection.OutTuple());
  PrefetchBucket(out_hash);
  begun_[begun_count_++] = {out_hash, EntryOf(index, Direction::kOut)};
  return &connections_[index];
}

bool ConnectionTable::IsBegun(uint32_t index) const {
  for (int i = 0; i < begun_count_; ++i) {
    if (begun_[i].entry >> 1 == index) return true;
  }
  return false;
}

void ConnectionTable::FinishInserts() {
  for (int i = 0; i < begun_count_; ++i) AddEntry(begun_[i].hash, begun_[i].entry);
  begun_count_ = 0;
}

void ConnectionTable::Remove(Connection& connection) {
  const uint32_t index = IndexOf(connection);
  if (IsBegun(index)) FinishInserts();
  RemoveEntry(Hash(connection.InTuple()), EntryOf(index, Direction::kIn));
  RemoveEntry(Hash(connection.OutTuple()), EntryOf(index, Direction::kOut));
  connection.destination_id = kNoDestination;
  free_[free_count_++] = index;
  --size_;
}

void ConnectionTable::AddEntry(uint64_t hash, ConnectionEntry entry) {
  size_t at = HomeOf(hash);
  uint32_t room = Matches(buckets_[at], 0);
  while (room == 0) {
    ++buckets_[at].passed_on;
    at = After(at);
    room = Matches(buckets_[at], 0);
  }
  const int slot = std::countr_zero(room);
  buckets_[at].tags[slot] = TagOf(hash);
  buckets_[at].entries[slot] = entry;
}

void ConnectionTable::RemoveEntry(uint64_t hash, ConnectionEntry entry) {
  const uint16_t tag = TagOf(hash);
  for (size_t at = HomeOf(hash);; at = After(at)) {
    Bucket& bucket = buckets_[at];
    for (uint32_t matches = Matches(bucket, tag); matches != 0; matches &= matches - 1) {
      const int slot = std::countr_zero(matches);
      if (bucket.entries[slot] != entry) continue;
      bucket.tags[slot] = 0;
      return;
    }
    SLUICE_CHECK(bucket.passed_on != 0);
    --bucket.passed_on;
  }
}

}  // namespace sluice
