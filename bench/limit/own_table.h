// The straw man's own table: a bucket is a cache line of eight 16-bit signatures and eight indices, and both
// it and the entry are asked for ahead, for the whole burst. What does not fit into its bucket replaces what
// is there.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <emmintrin.h>
#include <nmmintrin.h>

#include <bit>
#include <cstring>

#include "bench/limit/flow_entry.h"
#include "dataplane/net/huge_array.h"

namespace sluice {

template <class Address>
class OwnTable {
 public:
  using Name = FlowName<Address>;
  using Entry = FlowEntry<Address>;

  explicit OwnTable(uint32_t capacity)
      : buckets_(std::bit_ceil(capacity / 4)),
        entries_(capacity + 1),
        mask_(std::bit_ceil(capacity / 4) - 1),
        capacity_(capacity) {}

  // nullptr for those that are not there.
  void Find(const Name* names, int count, Entry** found) {
    uint64_t hashes[kAcross];
    uint32_t guesses[kAcross];
    for (int i = 0; i < count; ++i) {
      hashes[i] = Hash(names[i]);
      __builtin_prefetch(&buckets_[hashes[i] & mask_]);
    }
    for (int i = 0; i < count; ++i) {
      const Bucket& bucket = buckets_[hashes[i] & mask_];
      const uint32_t matches = Matches(bucket, SignatureOf(hashes[i]));
      guesses[i] = matches == 0 ? 0 : bucket.entries[std::countr_zero(matches) / 2];
      const auto* entry = reinterpret_cast<const char*>(&entries_[guesses[i]]);
      for (size_t at = 0; at < sizeof(Entry); at += 64) __builtin_prefetch(entry + at, 1);
    }
    for (int i = 0; i < count; ++i) {
      found[i] = &entries_[guesses[i]];
      if (guesses[i] == 0 || std::memcmp(&found[i]->name, &names[i], sizeof names[i]) != 0)
        found[i] = Search(names[i], hashes[i]);
    }
  }

  // The oldest makes room.
  Entry* Insert(const Name& name) {
    next_ = next_ == capacity_ ? 1 : next_ + 1;
    Entry& entry = entries_[next_];
    if (is_full_ |= next_ == capacity_; is_full_) Remove(entry.name, next_);
    const uint64_t hash = Hash(name);
    Bucket& bucket = buckets_[hash & mask_];
    const uint32_t free = Matches(bucket, 0);
    const int at = free == 0 ? static_cast<int>(next_ & 7) : std::countr_zero(free) / 2;
    bucket.signatures[at] = SignatureOf(hash);
    bucket.entries[at] = next_;
    return &entry;
  }

 private:
  static constexpr int kAcross = 32;
  struct alignas(64) Bucket {
    uint16_t signatures[8];  // 0: free
    uint32_t entries[8];
  };

  static uint64_t Hash(const Name& name) {
    constexpr size_t kWords = sizeof name / sizeof(uint64_t);
    uint64_t words[kWords];
    std::memcpy(words, &name, sizeof words);
    uint64_t low = 0x9e3779b9;
    uint64_t high = 0x7f4a7c15;
    for (size_t i = 0; i < kWords; ++i) {
      low = _mm_crc32_u64(low, words[i]);
      high = _mm_crc32_u64(high, words[kWords - 1 - i]);
    }
    return low | high << 32;
  }
  static uint16_t SignatureOf(uint64_t hash) {
    const auto signature = static_cast<uint16_t>(hash >> 48);
    return signature == 0 ? uint16_t{1} : signature;
  }
  // Two bits for each signature that is this one.
  static uint32_t Matches(const Bucket& bucket, uint16_t signature) {
    const __m128i all = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.signatures));
    return static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_cmpeq_epi16(all, _mm_set1_epi16(static_cast<int16_t>(signature)))));
  }
  Entry* Search(const Name& name, uint64_t hash) {
    const Bucket& bucket = buckets_[hash & mask_];
    for (uint32_t matches = Matches(bucket, SignatureOf(hash)); matches != 0;) {
      const int at = std::countr_zero(matches) / 2;
      Entry& entry = entries_[bucket.entries[at]];
      if (std::memcmp(&entry.name, &name, sizeof name) == 0) return &entry;
      matches &= ~(3u << (2 * at));
    }
    return nullptr;
  }
  void Remove(const Name& name, uint32_t index) {
    Bucket& bucket = buckets_[Hash(name) & mask_];
    for (int at = 0; at < 8; ++at) {
      if (bucket.entries[at] == index && bucket.signatures[at] != 0) bucket.signatures[at] = 0;
    }
  }

  HugeArray<Bucket> buckets_;
  HugeArray<Entry> entries_;
  const uint64_t mask_;
  const uint32_t capacity_;
  uint32_t next_ = 0;
  bool is_full_ = false;
};

}  // namespace sluice
