// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/endpoint_index.h"

namespace sluice {

void EndpointIndex::SetService(const Endpoint& endpoint, const Service* service) {
  const int change = Set(KeyOf(endpoint.address.V4(), endpoint.port, endpoint.protocol),
                         reinterpret_cast<uint64_t>(service));
  if (endpoint.port == Be16{}) any_port_services_ += change;
  if (endpoint.port == kFtpPort && endpoint.protocol == Protocol::kTcp) ftp_services_ += change;
}

void EndpointIndex::SetRealServer(const Endpoint& endpoint, uint32_t destinations) {
  const int change =
      Set(KeyOf(endpoint.address.V4(), endpoint.port, endpoint.protocol) | kRealServer, destinations);
  if (endpoint.port == Be16{}) any_port_servers_ += change;
}

const Service* EndpointIndex::FindWiderService(Be32 address, Be16 port, Protocol protocol) const {
  constexpr uint16_t kFtpData = 20;
  constexpr uint16_t kFirstUnprivileged = 1024;
  const uint16_t number = port.ToHost();
  if (ftp_services_ > 0 && protocol == Protocol::kTcp &&
      (number == kFtpData || number >= kFirstUnprivileged)) {
    const uint64_t ftp = Value(KeyOf(address, kFtpPort, protocol));
    if (ftp != 0) return reinterpret_cast<const Service*>(ftp);
  }
  if (any_port_services_ == 0) return nullptr;
  return reinterpret_cast<const Service*>(Value(KeyOf(address, Be16{}, protocol)));
}

int EndpointIndex::Set(uint64_t key, uint64_t value) {
  const size_t mask = slots_.size() - 1;
  size_t at = HomeOf(key);
  while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & mask;
  if (slots_[at].key == key) {
    if (value == 0) {
      Erase(at);
      return -1;
    }
    slots_[at].value = value;
    return 0;
  }
  if (value == 0) return 0;
  slots_[at] = {key, value};
  if (++used_ * 2 > slots_.size()) Grow();
  return 1;
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
