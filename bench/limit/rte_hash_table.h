// The straw man's flows in DPDK's own hash table, asked 32 at a time.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <atomic>
#include <string>

#include "bench/limit/flow_entry.h"
#include "dataplane/net/check.h"
#include "dataplane/net/huge_array.h"

namespace sluice {

template <class Address>
class RteHashTable {
 public:
  using Name = FlowName<Address>;
  using Entry = FlowEntry<Address>;

  explicit RteHashTable(uint32_t capacity)
      : entries_(capacity + capacity / 4 + 64), order_(capacity), capacity_(capacity) {
    rte_hash_parameters parameters{};
    static std::atomic<int> count{0};
    const std::string name = "straw_man" + std::to_string(count++);
    parameters.name = name.c_str();
    parameters.entries = capacity + capacity / 4;
    parameters.key_len = sizeof(Name);
    parameters.hash_func = rte_hash_crc;
    parameters.socket_id = SOCKET_ID_ANY;
    hash_ = rte_hash_create(&parameters);
    SLUICE_CHECK(hash_ != nullptr);
  }
  ~RteHashTable() { rte_hash_free(hash_); }
  RteHashTable(const RteHashTable&) = delete;
  RteHashTable& operator=(const RteHashTable&) = delete;

  void Find(const Name* names, int count, Entry** found) {
    const void* keys[kAcross];
    int32_t positions[kAcross];
    for (int i = 0; i < count; ++i) keys[i] = &names[i];
    rte_hash_lookup_bulk(hash_, keys, static_cast<uint32_t>(count), positions);
    for (int i = 0; i < count; ++i) {
      found[i] = positions[i] < 0 ? nullptr : &entries_[static_cast<uint32_t>(positions[i])];
      const auto* entry = reinterpret_cast<const char*>(found[i]);
      for (size_t at = 0; at < sizeof(Entry); at += 64) __builtin_prefetch(entry + at, 1);
    }
  }

  Entry* Insert(const Name& name) {
    next_ = next_ + 1 == capacity_ ? 0 : next_ + 1;
    if (is_full_ |= next_ + 1 == capacity_; is_full_) rte_hash_del_key(hash_, &order_[next_]);
    const int32_t position = rte_hash_add_key(hash_, &name);
    SLUICE_CHECK(position >= 0);
    order_[next_] = name;
    return &entries_[static_cast<uint32_t>(position)];
  }

 private:
  static constexpr int kAcross = 32;
  rte_hash* hash_ = nullptr;
  HugeArray<Entry> entries_;
  HugeArray<Name> order_;  // of insertion
  const uint32_t capacity_;
  uint32_t next_ = 0;
  bool is_full_ = false;
};

}  // namespace sluice
