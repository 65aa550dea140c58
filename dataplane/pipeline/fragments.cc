// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/fragments.h"

#include <algorithm>

namespace sluice {

FragmentTable::FragmentTable(const HashSecret& secret) : secret_(secret), sets_(kSets) {}

FragmentTable::~FragmentTable() {
  for (int i = 0; i < waiting_count_; ++i) rte_pktmbuf_free(waiting_[i].packet);
}

std::array<FragmentTable::Datagram, FragmentTable::kWays>& FragmentTable::SetOf(const Key& key) {
  const uint64_t addresses = AddressWord(key.source, secret_).raw |
                             uint64_t{AddressWord(key.destination, secret_).raw} << 32;
  const uint64_t hash = FoldedMultiply(addresses ^ secret_.words[0], key.identification ^ secret_.words[2]);
  return sets_[hash % kSets];
}

void FragmentTable::Learn(const Key& key, const Ports& ports, Jiffies now) {
  std::array<Datagram, kWays>& set = SetOf(key);
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
  for (int i = 0; i < waiting_count_; ++i) {
    if (waiting_[i].released || !(waiting_[i].key == key)) continue;
    waiting_[i].released = true;
    ++released_count_;
  }
}

std::optional<FragmentTable::Ports> FragmentTable::Find(const Key& key, Jiffies now) const {
  for (const Datagram& each : SetOf(key)) {
    if (each.in_use && each.key == key && !HasPassed(each.learnt_at + kRemembered, now)) return each.ports;
  }
  return std::nullopt;
}

bool FragmentTable::Hold(const Key& key, rte_mbuf* packet, Jiffies now) {
  if (waiting_count_ == kMostWaiting) return false;
  waiting_[waiting_count_++] = {key, packet, now, false};
  return true;
}

int FragmentTable::TakeReleased(rte_mbuf** packets) {
  if (released_count_ == 0) return 0;
  int taken = 0;
  int kept = 0;
  for (int i = 0; i < waiting_count_; ++i) {
    if (waiting_[i].released && taken < kBurst) {
      packets[taken++] = waiting_[i].packet;
    } else {
      waiting_[kept++] = waiting_[i];
    }
  }
  waiting_count_ = kept;
  released_count_ -= taken;
  return taken;
}

// They wait in order of arrival.
int FragmentTable::DropStale(Jiffies now) {
  int stale = 0;
  while (stale < waiting_count_ && HasPassed(waiting_[stale].since + kMostPatience, now)) {
    released_count_ -= waiting_[stale].released;
    rte_pktmbuf_free(waiting_[stale++].packet);
  }
  if (stale == 0) return 0;
  std::copy(waiting_.begin() + stale, waiting_.begin() + waiting_count_, waiting_.begin());
  waiting_count_ -= stale;
  return stale;
}

}  // namespace sluice
