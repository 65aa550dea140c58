// All connections of one worker, found by the tuple of a packet of either direction.
// A bucket is one cache line: eight tags of 16 bits, and eight entries that name a connection and a
// direction. A full bucket passes entries on to the next and counts them, so that a search ends as soon as
// nothing was passed on (as in F14 hash tables): there are no tombstones and no rehashing.
// Memory comes at construction, that for the addresses of IPv6 connections by PrepareForIpv6; a full table
// refuses.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstdint>

#include "dataplane/conn/connection.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/huge_array.h"

namespace sluice {

// A connection and the direction of the packet that was looked up; 0: none.
using ConnectionEntry = uint32_t;

class ConnectionTable {
 public:
  ConnectionTable(uint32_t capacity, const HashSecret& secret);

  // Makes the memory for IPv6 come before there are such connections. Threads: any, at any time.
  void PrepareForIpv6() { addresses_.Commit(); }

  uint32_t capacity() const { return capacity_; }
  uint32_t size() const { return size_; }

  uint64_t Hash(const FlowTuple& tuple) const { return FlowHash(tuple, secret_); }

  // A lookup in three steps, so that a burst can overlap their cache misses: prefetch the bucket, guess the
  // entry by its tag and prefetch its connection, compare. Search settles what the guess did not.
  void PrefetchBucket(uint64_t hash) const { __builtin_prefetch(&buckets_[HomeOf(hash)]); }
  ConnectionEntry Guess(uint64_t hash) const {
    const Bucket& bucket = buckets_[HomeOf(hash)];
    const uint32_t matches = Matches(bucket, TagOf(hash));
    return matches == 0 ? 0 : bucket.entries[__builtin_ctz(matches)];
  }
  bool PassedOn(uint64_t hash) const { return buckets_[HomeOf(hash)].passed_on != 0; }
  void PrefetchConnection(ConnectionEntry entry) const { __builtin_prefetch(&connections_[entry >> 1]); }
  void PrefetchAddresses(ConnectionEntry entry) const { __builtin_prefetch(&addresses_[entry >> 1]); }
  // In IPv6 a tuple alone does not tell flows apart.
  bool HasTuple(ConnectionEntry entry, const FlowTuple& tuple) const {
    return connections_[entry >> 1].TupleOf(DirectionOf(entry)) == tuple;
  }
  bool HasAddresses(ConnectionEntry entry, const FlowAddresses& addresses) const {
    return addresses_[entry >> 1].Of(DirectionOf(entry), connections_[entry >> 1].IsNat()) == addresses;
  }
  // `addresses` are those of an IPv6 flow, and not looked at in IPv4.
  bool Is(ConnectionEntry entry, const FlowTuple& tuple, const FlowAddresses& addresses) const {
    return HasTuple(entry, tuple) && (!tuple.IsV6() || HasAddresses(entry, addresses));
  }
  ConnectionEntry Search(const FlowTuple& tuple, const FlowAddresses& addresses, uint64_t hash) const;

  static Direction DirectionOf(ConnectionEntry entry) { return static_cast<Direction>(entry & 1); }
  Connection& At(ConnectionEntry entry) { return connections_[entry >> 1]; }

  // Connections also have an index, 1..capacity().
  uint32_t IndexOf(const Connection& connection) const {
    return static_cast<uint32_t>(&connection - &connections_[0]);
  }
  Connection& ByIndex(uint32_t index) { return connections_[index]; }
  const Connection& ByIndex(uint32_t index) const { return connections_[index]; }
  // REQUIRES: an IPv6 connection, to look at it.
  const ConnectionAddresses& AddressesOf(const Connection& connection) const {
    return addresses_[IndexOf(connection)];
  }
  // One past the highest index ever used; slots that hold no connection have no destination id and no client
  // port.
  uint32_t IndexEnd() const { return next_unused_; }
  bool IsInUse(uint32_t index) const { return connections_[index].destination_id != kNoDestination; }

  // A copy of `connection`, findable in both directions; nullptr if the table is full. Its addresses count
  // in IPv6 only. REQUIRES: a destination id; its in-tuple is not in the table.
  Connection* Insert(const Connection& connection, const ConnectionAddresses& addresses);
  // The same of several, so that their cache misses overlap: a packet from the client finds its connection at
  // once, one from the server after FinishInserts. `hash` is of the in-tuple.
  Connection* BeginInsert(const Connection& connection, const ConnectionAddresses& addresses, uint64_t hash);
  void FinishInserts();
  void Remove(Connection& connection);

  // What is about to be touched: the index that the insert after `later` others will use (0: there is none),
  // and the buckets of a connection that will be removed.
  uint32_t IndexToUse(uint32_t later) const {
    if (later < free_count_) return free_[free_count_ - 1 - later];
    const uint32_t index = next_unused_ + (later - free_count_);
    return index <= capacity_ ? index : 0;
  }
  // Always inline: gcc takes a function that only prefetches for one without effect, and leaves out its
  // calls.
  [[gnu::always_inline]] void PrefetchBuckets(const Connection& connection) const {
    PrefetchBucket(Hash(connection.InTuple()));
    PrefetchBucket(Hash(connection.OutTuple()));
  }

 private:
  static constexpr int kSlots = 8;
  struct alignas(64) Bucket {
    uint16_t tags[kSlots];  // 0: free
    uint32_t entries[kSlots];
    uint32_t passed_on;  // entries that looked for room here and found it further on
    uint32_t unused[3];
  };
  static_assert(sizeof(Bucket) == 64);

  static uint16_t TagOf(uint64_t hash) { return static_cast<uint16_t>(hash) | 1; }
  size_t HomeOf(uint64_t hash) const { return (hash >> 32) * bucket_count_ >> 32; }
  size_t After(size_t bucket) const { return bucket + 1 == bucket_count_ ? 0 : bucket + 1; }
  static uint32_t Matches(const Bucket& bucket, uint16_t tag) {
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tags));
    const __m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<int16_t>(tag)));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
  }
  bool IsBegun(uint32_t index) const;
  void AddEntry(uint64_t hash, ConnectionEntry entry);
  void RemoveEntry(uint64_t hash, ConnectionEntry entry);

  const uint32_t capacity_;
  const uint64_t bucket_count_;
  const HashSecret secret_;
  HugeArray<Bucket> buckets_;
  HugeArray<Connection> connections_;         // [0] is nobody
  HugeArray<ConnectionAddresses> addresses_;  // by the same index
  HugeArray<uint32_t> free_;                  // a stack of indices
  uint32_t free_count_ = 0;
  uint32_t next_unused_ = 1;
  uint32_t size_ = 0;
  struct Begun {
    uint64_t hash;
    ConnectionEntry entry;
  };
  static constexpr int kMostBegun = 32;
  Begun begun_[kMostBegun];
  int begun_count_ = 0;
};

}  // namespace sluice
