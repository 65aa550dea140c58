// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/endpoint_index.h"

namespace sluice {

void EndpointIndex::SetService(const Endpoint& endpoint, const Service* service) {
  Set(KeyOf(endpoint.address.V4(), endpoint.port, endpoint.protocol), reinterpret_cast<uint64_t>(service));
}

void EndpointIndex::SetRealServer(const Endpoint& endpoint, uint32_t destinations) {
  Set(KeyOf(endpoint.address.V4(), endpoint.port, endpoint.protocol) | kRealServer, destinations);
}

void EndpointIndex::Set(uint64_t key, uint64_t value) {
  const size_t mask = slots_.size() - 1;
  size_t at = HomeOf(key);
  while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & mask;
  if (slots_[at].key == key) {
    if (value == 0) return Erase(at);
    slots_[at].value = value;
    return;
  }
  if (value == 0) return;
  slots_[at] = {key, value};
  if (++used_ * 2 > slots_.size()) Grow();
}

// Closes the gap, so that no probe sequence ends too early.
void EndpointIndex::Erase(size_t at) {
  const size_t mask = slots_.size() - 1;
  for (size_t next = (at + 1) & mask; slots_[next].key != 0; next = (next + 1) & mask) {
    const size_t home = HomeOf(slots_[next].key);
    const bool home_is_behind_the_gap = ((next - home) & mask) < ((next - at) & mask);
    if (home_is_behind_the_gap) continue;
    slots_[at] = slots_[next];
    at = next;
  }
  slots_[at] = {};
  --used_;
}

void EndpointIndex::Grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  used_ = 0;
  for (const Slot& slot : old) {
    if (slot.key != 0) Set(slot.key, slot.value);
  }
}

}  // namespace sluice
