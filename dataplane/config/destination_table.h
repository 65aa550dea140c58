// What lives longer than a snapshot about each destination: its load, and what its connections must know
// about it. Indexed by DestinationId.
// Threads: Allocate, Free, Set... and RequestSweep on the control thread only; the rest anywhere. An id may
// be freed when no connection or template has it and no snapshot in use names it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/config/spec.h"
#include "dataplane/net/huge_array.h"
#include "schedulers/scheduler.h"

namespace sluice {

// 50,000 services with 20 destinations each.
inline constexpr uint32_t kMaxDestinations = 1 << 20;

// What a packet of a connection must know about its destination; bits. A destination without any but
// kAvailable is the common case.
enum DestinationTrait : uint8_t {
  kAvailable = 1,           // it is in a service
  kQuiesced = 2,            // its weight is 0
  kOwnTimeouts = 4,         // its service has timeouts of its own
  kDrainOver = 8,           // it was drained or removed, and the time its connections had is up
  kStrictPersistence = 16,  // closed connections do not hold a template
};

class DestinationTable {
 public:
  DestinationTable()
      : loads_(kMaxDestinations),
        timeouts_(kMaxDestinations),
        ways_(kMaxDestinations),
        addresses_(kMaxDestinations),
        ports_(kMaxDestinations),
        fwmarks_(kMaxDestinations),
        service_numbers_(kMaxDestinations),
        path_mtus_(kMaxDestinations),
        lives_(kMaxDestinations),
        traits_(kMaxDestinations),
        groups_(kMaxDestinations),
        group_members_(kMaxDestinations) {}

  // kNoDestination when all are in use. `near` is the newest destination of the same service, if it has any.
  DestinationId Allocate(DestinationId near = kNoDestination);
  void Free(DestinationId id);
  size_t FreeCount() const { return kMaxDestinations - End() + free_.size(); }
  // One past the highest id ever used.
  DestinationId End() const { return next_unused_.load(std::memory_order_relaxed); }

  DestinationLoad& load(DestinationId id) { return loads_[id]; }
  const DestinationLoad& load(DestinationId id) const { return loads_[id]; }
  // Tells a candidate, by its id, where its load is.
  void Attach(Candidate& candidate) const {
    candidate.load = &loads_[candidate.id];
    candidate.group = &groups_[candidate.load->place / LoadGroup::kSize];
    candidate.bit = static_cast<uint8_t>(BitOf(*candidate.load));
  }
  // Tells one use of an id from the next; statistics are kept per life.
  uint32_t life(DestinationId id) const { return lives_[id]; }

  uint8_t traits(DestinationId id) const { return traits_[id].load(std::memory_order_relaxed); }
  void SetTraits(DestinationId id, uint8_t set, uint8_t clear);
  // A destination that was deleted is not available: packets of its connections are dropped.
  bool IsAvailable(DestinationId id) const { return traits(id) & kAvailable; }

  // Of the destination's service; meant only with kOwnTimeouts.
  TimeoutSpec timeouts(DestinationId id) const;
  void SetTimeouts(DestinationId id, const TimeoutSpec& timeouts);

  // How packets get there.
  struct alignas(8) Way {
    ForwardingMethod method = ForwardingMethod::kNat;
    TunnelSpec tunnel;
  };
  static_assert(sizeof(Way) <= sizeof(uint64_t));
  Way way(DestinationId id) const { return ways_[id].load(std::memory_order_relaxed); }
  void SetWay(DestinationId id, const Way& way) { ways_[id].store(way, std::memory_order_relaxed); }

  // Where it is. Set before anybody knows the id.
  const IpAddress& address(DestinationId id) const { return addresses_[id]; }
  // Its own; 0: it has none, and gets packets on the port they were sent to.
  Be16 port(DestinationId id) const { return ports_[id]; }
  // Of its service; 0: none.
  uint32_t fwmark(DestinationId id) const { return fwmarks_[id]; }
  // Number of the service: one for all its destinations, and rarely another service's.
  uint16_t service_number(DestinationId id) const { return service_numbers_[id]; }
  void SetEndpoint(DestinationId id, const Endpoint& endpoint, const ServiceKey& service) {
    addresses_[id] = endpoint.address;
    ports_[id] = endpoint.port;
    fwmarks_[id] = service.fwmark;
    const uint64_t hash = EndpointHash()(service) + service.fwmark;
    service_numbers_[id] = static_cast<uint16_t>(hash * 0x9e3779b97f4a7c15u >> 48);
    path_mtus_[id].store({}, std::memory_order_relaxed);
  }

  // What the way there takes, if somebody on it has said so in the last ten minutes; 65535: nobody has.
  // Any worker.
  uint16_t PathMtu(DestinationId id, uint32_t now) const {
    const PathMtuEntry known = path_mtus_[id].load(std::memory_order_relaxed);
    return known.mtu == 0 || now - known.learnt_at > kPathMtuAge ? uint16_t{65535} : known.mtu;
  }
  void LearnPathMtu(DestinationId id, uint16_t mtu, uint32_t now) {
    if (mtu < PathMtu(id, now)) path_mtus_[id].store({now, mtu}, std::memory_order_relaxed);
  }
  // Clears what is too old, of `count` ids from `first` on: once the clock has come round it would be new
  // again.
  void ClearPathMtus(DestinationId first, uint32_t count, uint32_t now) {
    for (DestinationId id = first; id < first + count && id < End(); ++id) {
      PathMtuEntry known = path_mtus_[id].load(std::memory_order_relaxed);
      if (known.mtu == 0 || now - known.learnt_at <= kPathMtuAge) continue;
      path_mtus_[id].compare_exchange_strong(known, {}, std::memory_order_relaxed);
    }
  }

  // A connection came or went; inactive ones count, too. The overload flag follows. Each of these is one
  // read-modify-write of the destination's line, and one of its group's if somebody watches.
  void AddConnection(DestinationId id, bool active);
  void RemoveConnection(DestinationId id, bool active);
  // A connection of the destination became active, or no longer is.
  void SetActive(DestinationId id, bool active) {
    DestinationLoad& load = loads_[id];
    if (active) {
      load.connections.fetch_add(DestinationLoad::kOneActive);
    } else {
      load.connections.fetch_sub(DestinationLoad::kOneActive);
    }
    NoteChange(load);
  }
  void ChangePersistent(DestinationId id, int by) {
    loads_[id].persistent.fetch_add(by, std::memory_order_relaxed);
  }
  // From now on the changes of its load are counted in its group.
  void Watch(DestinationId id) { loads_[id].watched.store(true, std::memory_order_relaxed); }
  void SetThresholds(DestinationId id, uint32_t upper, uint32_t lower);

  // Workers look through all their connections for those that must go, whenever this number has grown.
  uint32_t sweeps() const { return sweeps_.load(std::memory_order_acquire); }
  void RequestSweep() { sweeps_.fetch_add(1, std::memory_order_release); }

 private:
  struct alignas(8) PathMtuEntry {
    uint32_t learnt_at = 0;  // jiffies
    uint16_t mtu = 0;
  };
  static constexpr uint32_t kPathMtuAge = 600 * 250;

  struct Timeouts {
    std::atomic<uint32_t> tcp;
    std::atomic<uint32_t> tcp_fin;
    std::atomic<uint32_t> udp;
  };

  LoadGroup& GroupOf(const DestinationLoad& load) { return groups_[load.place / LoadGroup::kSize]; }
  static uint32_t BitOf(const DestinationLoad& load) { return load.place % LoadGroup::kSize; }
  uint32_t TakePlace(DestinationId near);
  void Settle(DestinationLoad& load);
  void NoteChange(const DestinationLoad& load) {
    if (!load.watched.load(std::memory_order_relaxed)) return;
    GroupOf(load).changes.fetch_add(1, std::memory_order_release);
  }

  HugeArray<DestinationLoad> loads_;
  HugeArray<Timeouts> timeouts_;
  HugeArray<std::atomic<Way>> ways_;
  HugeArray<IpAddress> addresses_;
  HugeArray<Be16> ports_;
  HugeArray<uint32_t> fwmarks_;
  HugeArray<uint16_t> service_numbers_;
  HugeArray<std::atomic<PathMtuEntry>> path_mtus_;
  HugeArray<uint32_t> lives_;
  HugeArray<std::atomic<uint8_t>> traits_;  // thousands fit into the first-level cache
  HugeArray<LoadGroup> groups_;
  HugeArray<uint32_t> group_members_;  // a bit for each place that an id in use has
  std::vector<uint32_t> free_groups_;
  uint32_t next_group_ = 0;
  std::atomic<uint32_t> sweeps_{0};
  std::atomic<uint32_t> next_unused_{kNoDestination + 1};
  std::vector<DestinationId> free_;
};

}  // namespace sluice
