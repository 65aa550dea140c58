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
      slot_bits_(std::bit_width(shard_capacity_)),
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

TemplateId PersistenceTable::IdOf(const Shard& shard, uint32_t slot) const {
  const auto number = static_cast<uint32_t>(HashOf(shard.slots[slot].key) % kShards);
  return number | slot << kShardBits | shard.slots[slot].generation << (kShardBits + slot_bits_);
}

uint32_t PersistenceTable::SlotOf(const Shard& shard, TemplateId id) const {
  const int shift = kShardBits + slot_bits_;
  const uint32_t slot = id >> kShardBits & ((1u << slot_bits_) - 1);
  const bool is_the_same = (shard.slots[slot].generation << shift ^ id) >> shift == 0;
  return is_the_same && shard.slots[slot].destination_id != kNoDestination ? slot : 0;
}

std::optional<TemplateList> PersistenceTable::ListOf(const Template& each) {
  if (!each.assured) return TemplateList::kUnassured;
  return each.children == 0 ? std::optional(TemplateList::kIdle) : std::nullopt;
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

uint32_t PersistenceTable::OldestUnassured(const Shard& shard) const {
  const uint32_t oldest = shard.lists.oldest(TemplateList::kUnassured);
  uint32_t slot = oldest;
  for (int looks = 0; slot != 0 && looks < kUnassuredLooks; ++looks) {
    if (shard.slots[slot].children == 0) return slot;
    slot = shard.lists.NextYounger(slot);
  }
  return oldest;
}

// Evicts a template if there is no room. The connections that hold it go on, to where they go.
std::optional<TemplateList> PersistenceTable::MakeRoom(Shard& shard) {
  if (shard.free_count > 0 || shard.next_unused <= shard_capacity_) return std::nullopt;
  uint32_t slot = OldestUnassured(shard);
  const bool few_unassured = shard.lists.size(TemplateList::kUnassured) <= shard_capacity_ / kUnassuredShare;
  if (slot == 0 || (few_unassured && shard.slots[slot].children > 0)) {
    const uint32_t idle = shard.lists.oldest(TemplateList::kIdle);
    if (idle != 0) slot = idle;
  }
  if (slot == 0) return std::nullopt;
  const std::optional<TemplateList> list = ListOf(shard.slots[slot]);
  shard.wheel.Unfile(slot);
  Remove(shard, slot);
  return list;
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
  const uint32_t generation = shard.slots[slot].generation + 1;
  shard.slots[slot] = wanted;
  shard.slots[slot].generation = generation;
  shard.slots[slot].next = head;
  head = slot;
  ++shard.size;
  shard.lists.Add(*ListOf(wanted), slot);
  shard.wheel.File(slot, wanted.deadline);
  destinations_.ChangePersistent(wanted.destination_id, 1);
  return slot;
}

PersistenceTable::Joined PersistenceTable::Hold(Shard& shard, uint32_t slot, Jiffies now) {
  Template& held = shard.slots[slot];
  if (ListOf(held) == TemplateList::kIdle) shard.lists.Remove(TemplateList::kIdle, slot);
  ++held.children;
  held.deadline = now + held.timeout;
  return {.id = IdOf(shard, slot),
          .address = held.destination,
          .port = held.destination_port,
          .destination_id = held.destination_id};
}

void PersistenceTable::LeaveSlot(Shard& shard, uint32_t slot) {
  --shard.slots[slot].children;
  if (ListOf(shard.slots[slot]) == TemplateList::kIdle) shard.lists.Add(TemplateList::kIdle, slot);
}

void PersistenceTable::Leave(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  if (const uint32_t slot = SlotOf(shard, id); slot != 0) LeaveSlot(shard, slot);
}

void PersistenceTable::LeaveByForce(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  const uint32_t slot = SlotOf(shard, id);
  if (slot == 0) return;
  LeaveSlot(shard, slot);
  if (shard.slots[slot].children > 0 || shard.slots[slot].assured) return;
  shard.wheel.Unfile(slot);
  Remove(shard, slot);
}

void PersistenceTable::Assure(TemplateId id) {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.lock);
  const uint32_t slot = SlotOf(shard, id);
  if (slot == 0 || shard.slots[slot].assured) return;
  shard.lists.Remove(TemplateList::kUnassured, slot);
  shard.slots[slot].assured = true;
  if (ListOf(shard.slots[slot])) shard.lists.Add(TemplateList::kIdle, slot);
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

template <class MayGo>
bool PersistenceTable::DropSome(const Slots& slots, MayGo may_go) {
  const uint32_t end = slots.first + slots.count * slots.stride;
  bool more = false;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->lock);
    more |= end < shard->next_unused;
    for (uint32_t slot = slots.first; slot < end && slot < shard->next_unused; slot += slots.stride) {
      const Template& each = shard->slots[slot];
      if (each.destination_id == kNoDestination || each.children > 0 || !may_go(each)) continue;
      shard->wheel.Unfile(slot);
      Remove(*shard, slot);
    }
  }
  return more;
}

bool PersistenceTable::DropUnassured(const Slots& slots) {
  return DropSome(slots, [](const Template& each) { return !each.assured; });
}

bool PersistenceTable::DropUnavailable(const Slots& slots) {
  return DropSome(slots,
                  [&](const Template& each) { return !destinations_.IsAvailable(each.destination_id); });
}

uint64_t PersistenceTable::ForgetSome(Cursor& cursor, const std::vector<bool>& destinations) {
  Shard& shard = *shards_[cursor.shard];
  const std::lock_guard lock(shard.lock);
  uint64_t forgotten = 0;
  const uint32_t end = std::min(cursor.slot + kChunk, shard.next_unused);
  for (; cursor.slot < end; ++cursor.slot) {
    Template& each = shard.slots[cursor.slot];
    if (!destinations[each.destination_id]) continue;
    forgotten += !each.retired;
    if (each.children == 0) {
      shard.wheel.Unfile(cursor.slot);
      Remove(shard, cursor.slot);
    } else if (!each.retired) {
      Unlink(shard, cursor.slot);
      each.retired = true;
    }
  }
  if (end == shard.next_unused) cursor = {.shard = cursor.shard + 1};
  return forgotten;
}

size_t PersistenceTable::CopySome(Cursor& cursor, std::span<Template> room) const {
  const Shard& shard = *shards_[cursor.shard];
  const std::lock_guard lock(shard.lock);
  size_t count = 0;
  const auto most = static_cast<uint32_t>(std::min<size_t>(room.size(), kChunk));
  const uint32_t end = std::min(cursor.slot + most, shard.next_unused);
  for (; cursor.slot < end; ++cursor.slot) {
    if (shard.slots[cursor.slot].destination_id != kNoDestination) room[count++] = shard.slots[cursor.slot];
  }
  if (end == shard.next_unused) cursor = {.shard = cursor.shard + 1};
  return count;
}

void PersistenceTable::Unlink(Shard& shard, uint32_t slot) {
  uint32_t* link = &HeadOf(shard, shard.slots[slot].key);
  while (*link != slot) link = &shard.slots[*link].next;
  *link = shard.slots[slot].next;
}

void PersistenceTable::Remove(Shard& shard, uint32_t slot) {
  if (!shard.slots[slot].retired) Unlink(shard, slot);
  if (const std::optional<TemplateList> list = ListOf(shard.slots[slot])) shard.lists.Remove(*list, slot);
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
