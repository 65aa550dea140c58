// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/local_ports.h"

#include <bit>

#include "dataplane/net/check.h"

namespace sluice {

LocalPorts::LocalPorts(const IpAddress& address, Protocol protocol, const FlowOwners& owners)
    : of_worker_(owners.workers) {
  for (uint32_t port = kFirst; port < kFirst + kCount; ++port) {
    const uint32_t owner = owners.OwnerOf(address, Be16::FromHost(static_cast<uint16_t>(port)), protocol);
    place_[port] = static_cast<uint16_t>(of_worker_[owner].size());
    of_worker_[owner].push_back(static_cast<uint16_t>(port));
  }
}

PortPool::PortPool(std::shared_ptr<const LocalPorts> ports, std::shared_ptr<const PortPoolKin> kin)
    : ports_(std::move(ports)), kin_(std::move(kin)), parts_(ports_->workers()) {
  for (size_t worker = 0; worker < parts_.size(); ++worker) {
    const size_t places = ports_->OfWorker(static_cast<int>(worker)).size();
    parts_[worker].bits.assign(places / 64 + 1, 0);
    parts_[worker].bits.back() = ~uint64_t{0} << places % 64;
  }
}

std::optional<Be16> PortPool::Take(int worker) {
  Part& part = parts_[worker];
  const std::vector<uint16_t>& ports = ports_->OfWorker(worker);
  const uint32_t taken = part.taken.load(std::memory_order_relaxed);
  if (taken == ports.size()) return std::nullopt;
  size_t word = part.next / 64;
  uint64_t free = ~part.bits[word] & ~uint64_t{0} << part.next % 64;
  while (free == 0) {
    word = word + 1 == part.bits.size() ? 0 : word + 1;
    free = ~part.bits[word];
  }
  const auto place = static_cast<uint32_t>(word * 64 + static_cast<size_t>(std::countr_zero(free)));
  part.bits[word] |= uint64_t{1} << place % 64;
  part.next = place + 1 == ports.size() ? 0 : place + 1;
  part.taken.store(taken + 1, std::memory_order_relaxed);
  return Be16::FromHost(ports[place]);
}

bool PortPool::TakeThis(int worker, Be16 port) {
  Part& part = parts_[worker];
  const std::vector<uint16_t>& ports = ports_->OfWorker(worker);
  const uint16_t place = ports_->PlaceOf(port.ToHost());
  const uint64_t bit = uint64_t{1} << place % 64;
  if (place >= ports.size() || ports[place] != port.ToHost() || part.bits[place / 64] & bit) return false;
  part.bits[place / 64] |= bit;
  part.taken.store(part.taken.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return true;
}

void PortPool::Give(int worker, Be16 port) {
  Part& part = parts_[worker];
  const uint16_t place = ports_->PlaceOf(port.ToHost());
  const uint64_t bit = uint64_t{1} << place % 64;
  SLUICE_CHECK(part.bits[place / 64] & bit);
  part.bits[place / 64] &= ~bit;
  part.taken.store(part.taken.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

uint32_t PortPool::taken() const {
  uint32_t sum = 0;
  for (const Part& part : parts_) sum += part.taken.load(std::memory_order_acquire);
  return sum;
}

}  // namespace sluice
