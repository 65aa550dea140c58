// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/fragments.h"

#include <algorithm>

namespace sluice {

FragmentTable::FragmentTable(const HashSecret& secret) : secret_(secret), sets_(kSets) {}

FragmentTable::~FragmentTable() {
  for (const Waiting& each : waiting_) rte_pktmbuf_free(each.packet);
  for (int i = 0; i < released_count_; ++i)
    rte_pktmbuf_free(released_[static_cast<size_t>(released_at_ + i)]);
}

uint64_t FragmentTable::HashOf(const Key& key) const {
  const uint64_t addresses =
      AddressWord(key.source, secret_).raw | uint64_t{AddressWord(key.destination, secret_).raw} << 32;
  return FoldedMultiply(addresses ^ secret_.words[0], key.identification ^ secret_.words[2]);
}

void FragmentTable::Learn(const Key& key, const Ports& ports, Jiffies now) {
  const uint64_t hash = HashOf(key);
  std::array<Datagram, kWays>& set = sets_[hash % kSets];
  Datagram* place = &set[0];
  for (Datagram& each : set) {
    if (each.in_use && each.key == key) {
      place = &each;
      break;
    }
    const bool is_older = !each.in_use || (place->in_use && HasPassed(each.learnt_at, place->learnt_at));
    if (is_older) place = &each;
  }
  *place = {key, ports, now, true};
  if (waiting_count_ == 0) return;
  const uint32_t tag = TagOf(hash);
  const bool any = std::find(tags_.begin(), tags_.end(), tag) != tags_.end();
  if (!any) return;
  for (uint32_t at = oldest_; at != next_; ++at) {
    const uint32_t i = at % kMostWaiting;
    // Nobody has taken what is released yet: there is room for no more than this.
    const bool has_room = released_at_ + released_count_ < static_cast<int>(kMostWaiting);
    if (tags_[i] == tag && waiting_[i].key == key && has_room)
      released_[static_cast<size_t>(released_at_ + released_count_++)] = Empty(i);
  }
}

std::optional<FragmentTable::Ports> FragmentTable::Find(const Key& key, Jiffies now) const {
  for (const Datagram& each : sets_[HashOf(key) % kSets]) {
    if (each.in_use && each.key == key && !HasPassed(each.learnt_at + kRemembered, now)) return each.ports;
  }
  return std::nullopt;
}

bool FragmentTable::Hold(const Key& key, rte_mbuf* packet, Jiffies now) {
  const uint32_t source_tag = SourceTagOf(key);
  const auto of_this_source = std::count(source_tags_.begin(), source_tags_.end(), source_tag);
  if (of_this_source >= static_cast<std::ptrdiff_t>(kMostOfOneSource)) return false;
  if (next_ - oldest_ == kMostWaiting) EvictOldest();
  const uint32_t place = next_++ % kMostWaiting;
  waiting_[place] = {key, packet, now};
  tags_[place] = TagOf(HashOf(key));
  source_tags_[place] = source_tag;
  ++waiting_count_;
  return true;
}

rte_mbuf* FragmentTable::Empty(uint32_t place) {
  tags_[place] = source_tags_[place] = 0;
  --waiting_count_;
  return std::exchange(waiting_[place].packet, nullptr);
}

void FragmentTable::EvictOldest() {
  const uint32_t place = oldest_++ % kMostWaiting;
  if (waiting_[place].packet == nullptr) return;
  rte_pktmbuf_free(Empty(place));
  ++evicted_count_;
}

int FragmentTable::TakeReleased(rte_mbuf** packets) {
  const int count = std::min(released_count_, kBurst);
  std::copy_n(released_.begin() + released_at_, count, packets);
  released_count_ -= count;
  released_at_ = released_count_ == 0 ? 0 : released_at_ + count;
  return count;
}

int FragmentTable::DropStale(Jiffies now) {
  int stale = 0;
  for (; oldest_ != next_; ++oldest_) {
    const uint32_t place = oldest_ % kMostWaiting;
    if (waiting_[place].packet == nullptr) continue;
    if (!HasPassed(waiting_[place].since + kMostPatience, now)) break;
    rte_pktmbuf_free(Empty(place));
    ++stale;
  }
  return stale;
}

}  // namespace sluice
