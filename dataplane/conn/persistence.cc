// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/persistence.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/config/endpoint_index.h"

namespace sluice {
namespace {

// A template that must go but is held lives on for so long, and from then on always does.
constexpr Jiffies kHeldFor = JiffiesFromSeconds(60);

}  // namespace

PersistenceTable::PersistenceTable(uint32_t capacity, const HashSecret& secret, Jiffies now,
                                   DestinationTable& destinations)
    : secret_(secret),
      shard_capacity_(capacity / kShards + 1),
      destinations_(destinations),
      expired_at_(now) {
  for (uint32_t i = 0; i < kShards; ++i)
    shards_.push_back(std::make_unique<Shard>(shard_capacity_, std::bit_ceil(shard_capacity_), now));
}

uint64_t PersistenceTable::HashOf(const TemplateKey& key) const {
  uint64_t words[4];
  std::memcpy(words, key.client.bytes.data(), 16);
  std::memcpy(words + 2, key.virtual_address.bytes.data(), 16);
  const uint64_t first = FoldedMultiply(words[0] ^ secret_.words[0], words[1] ^ secret_.words[1]);
  const uint64_t second = FoldedMultiply(words[2] ^ first, words[3] ^ secret_.words[2]);
  return FoldedMultiply(second ^ key.virtual_port.raw ^ uint64_t{static_cast<uint8_t>(key.protocol)} << 16,
                        secret_.words[3]);
}

TemplateKey TemplateKeyOf(const ServiceSpec& spec, const FlowKey& flow) {
  TemplateKey key{.client = flow.source.Prefix(spec.persistence.prefix_length)};
  if (spec.key.HasFwmark()) {
    key.virtual_address = IpAddress::FromV4(Be32::FromHost(spec.key.fwmark));
    key.virtual_address.family = flow.source.family;
    return key;
  }
  key.virtual_address = flow.destination;
  key.protocol = flow.protocol;
  if (spec.key.port != kFtpPort) key.virtual_port = spec.key.port;
  return key;
}

uint32_t PersistenceTable::FindIn(Shard& shard, const TemplateKey& key) {
  uint32_t slot = HeadOf(shard, key);
  while (slot != 0 && !(shard.slots[slot].key == key)) slot = shard.slots[slot].next;
  return slot;
}

bool PersistenceTable::IsUsable(const Template& found, bool expire_quiescent) const {
  const uint8_t traits = destinations_.traits(found.destination_id);
  return (traits & kAvailable) && !(traits & kDrainOver) && !(expire_quiescent && (traits & kQuiesced));
}

std::optional<Template> PersistenceTable::Find(const TemplateKey& key, bool expire_quiescent) {
  Shard& shard = ShardOf(key);
  const std::lock_guard lock(shard.lock);
  const uint32_t slot = FindIn(shard, key);
  if (slot == 0 || !IsUsable(shard.slots[slot], expire_quiescent)) return std::nullopt;
  return shard.slots[slot];
}

uint32_t PersistenceTable::FindUsable(Shard& shard, const Wish& wish) {
  const uint32_t slot = FindIn(shard, wish.key);
  if (slot == 0 || IsUsable(shard.slots[slot], wish.expire_quiescent)) return slot;
  Unlink(shard, slot);
  shard.slots[slot].retired = true;
  return 0;
}

bool PersistenceTable::Adopt(const Template& adopted) {
  Shard& shard = ShardOf(adopted.key);
  const std::lock_guard lock(shard.lock);
  return FindIn(shard, adopted.key) == 0 && Make(shard, adopted) != 0;
}

uint32_t PersistenceTable::Make(Shard& shard, const Template& wanted) {
  uint32_t slot;
  if (shard.free_count > 0) {
    slot = shard.free[--shard.free_count];
  } else if (shard.next_unused <= shard_capacity_) {
    slot = shard.next_unused++;
  } else {
    return 0;
  }
  uint32_t& head = HeadOf(shard, wanted.key);
  shard.slots[slot] = wanted;
  shard.slots[slot].next = head;
  head = slot;
  ++shard.size;
  shard.wheel.File(slot, wanted.deadline);
  destinations_.ChangePersistent(wanted.destination_id, 1);
  return slot;
}

PersistenceTable::Joined PersistenceTable::Hold(Shard& shard, uint32_t slot, Jiffies now) {
  Template& held = shard.slots[slot];
  ++held.children;
  held.deadline = now + held.timeout;
  const auto shard_index = static_cast<uint32_t>(HashOf(held.key) % kShards);
  return {.id = slot * kShards + shard_index,
          .address = held.destination,
          .port = held.destination_port,
          .destination_id = held.destination_id};
}

void PersistenceTable::Leave(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  --shard.slots[SlotOf(id)].children;
}

void PersistenceTable::LeaveByForce(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  const uint32_t slot = SlotOf(id);
  if (--shard.slots[slot].children > 0 || shard.slots[slot].assured) return;
  shard.wheel.Unfile(slot);
  Remove(shard, slot);
}

void PersistenceTable::Assure(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  shard.slots[SlotOf(id)].assured = true;
}

int PersistenceTable::Expire(Jiffies now) {
  if (now == expired_at_) return 0;
  int looked_at = 0;
  bool done = true;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->lock);
    uint32_t due[kExpireAtOnce];
    const int count = shard->wheel.TakeDue(now, due, kExpireAtOnce);
    for (int i = 0; i < count; ++i) {
      Template& each = shard->slots[due[i]];
      if (HasPassed(each.deadline, now) && each.children == 0) {
        Remove(*shard, due[i]);
        continue;
      }
      if (HasPassed(each.deadline, now)) {
        each.timeout = kHeldFor;
        each.deadline = now + kHeldFor;
      }
      shard->wheel.File(due[i], each.deadline);
    }
    looked_at += count;
    done &= count < kExpireAtOnce;
  }
  if (done) expired_at_ = now;
  return looked_at;
}

void PersistenceTable::DropSome(uint32_t random) {
  constexpr uint32_t kShare = 32;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->lock);
    for (uint32_t slot = 1 + random % kShare; slot < shard->next_unused; slot += kShare) {
      const Template& each = shard->slots[slot];
      if (each.destination_id == kNoDestination || each.children > 0 || each.assured) continue;
      shard->wheel.Unfile(slot);
      Remove(*shard, slot);
    }
  }
}

bool PersistenceTable::DropUnavailable(uint32_t first, uint32_t count) {
  bool more = false;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->lock);
    more |= first + count < shard->next_unused;
    for (uint32_t slot = first; slot < first + count && slot < shard->next_unused; ++slot) {
      const Template& each = shard->slots[slot];
      if (each.destination_id == kNoDestination || each.children > 0) continue;
      if (destinations_.IsAvailable(each.destination_id)) continue;
      shard->wheel.Unfile(slot);
      Remove(*shard, slot);
    }
  }
  return more;
}

uint64_t PersistenceTable::Forget(const std::vector<bool>& destinations) {
  uint64_t forgotten = 0;
  for (const auto& shard : shards_) {
    bool more = true;
    for (uint32_t first = 1; more; first += kChunk) {
      const std::lock_guard lock(shard->lock);
      const uint32_t end = std::min(first + kChunk, shard->next_unused);
      more = end < shard->next_unused;
      for (uint32_t slot = first; slot < end; ++slot) {
        Template& each = shard->slots[slot];
        if (!destinations[each.destination_id]) continue;
        forgotten += !each.retired;
        if (each.children == 0) {
          shard->wheel.Unfile(slot);
          Remove(*shard, slot);
        } else if (!each.retired) {
          Unlink(*shard, slot);
          each.retired = true;
        }
      }
    }
  }
  return forgotten;
}

void PersistenceTable::Unlink(Shard& shard, uint32_t slot) {
  uint32_t* link = &HeadOf(shard, shard.slots[slot].key);
  while (*link != slot) link = &shard.slots[*link].next;
  *link = shard.slots[slot].next;
}

void PersistenceTable::Remove(Shard& shard, uint32_t slot) {
  if (!shard.slots[slot].retired) Unlink(shard, slot);
  destinations_.ChangePersistent(shard.slots[slot].destination_id, -1);
  shard.slots[slot].destination_id = kNoDestination;
  shard.free[shard.free_count++] = slot;
  --shard.size;
}

uint32_t PersistenceTable::size() const {
  uint32_t sum = 0;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->lock);
    sum += shard->size;
  }
  return sum;
}

}  // namespace sluice
