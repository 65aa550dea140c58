// A scheduler picks a destination for a new connection. One file per algorithm; schedulers/README.md shows
// how to write one.
// Threads: constructed and Inherit()ed on the control thread before it is published; Pick is called by any
// number of workers at once. Candidates never change while a scheduler lives: a change of configuration
// makes a new scheduler.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/net/flow_key.h"
#include "schedulers/destination_load.h"

namespace sluice {

// A service with so many candidates has their changes counted, if its scheduler wants to know them.
inline constexpr size_t kManyCandidates = 64;

// Names a destination's load, counters and connections for as long as one connection points to it.
using DestinationId = uint32_t;
inline constexpr DestinationId kNoDestination = 0;

// A cache line: of many a pick looks at few.
struct alignas(64) Candidate {
  IpAddress address;
  Be16 port;
  int32_t weight = 1;
  int32_t last_weight = 1;  // the latest that was not 0
  uint32_t ordinal = 0;     // grows with the order of adding, never reused within a service
  DestinationId id = kNoDestination;
  const DestinationLoad* load = nullptr;
  const LoadGroup* group = nullptr;
  uint8_t bit = 0;  // in the group

  bool CanAccept() const { return weight > 0 && !group->IsOverloaded(bit); }
};
static_assert(sizeof(Candidate) == 64);

inline constexpr int kNoCandidate = -1;

// ipvsadm -b: what flag-1 to flag-3 mean is the scheduler's affair.
struct SchedulerFlags {
  bool flag_1 = false;
  bool flag_2 = false;
  bool flag_3 = false;

  bool Any() const { return flag_1 || flag_2 || flag_3; }
  friend bool operator==(const SchedulerFlags&, const SchedulerFlags&) = default;
};

struct SchedulerSetup {
  // In IPVS's list order, the newest first. They live as long as the scheduler.
  std::span<const Candidate> candidates;
  SchedulerFlags flags;
  // How many of them, at the end of the list, the service had before it got this scheduler; the others were
  // added since, one by one.
  size_t present_before = 0;
  // Limits of lblc and lblcr: how long they remember what nobody asks for, and how many addresses.
  uint32_t expiration_seconds = 86400;
  uint32_t virtual_addresses = kAnyAddresses;
  static constexpr uint32_t kAnyAddresses = UINT32_MAX;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // The index of the chosen candidate, or kNoCandidate. `candidates` are those of the setup.
  virtual int Pick(const FlowKey& flow, std::span<const Candidate> candidates) = 0;

  // What Pick would say now, without leaving a trace. Whoever's picks leave traces overrides it.
  virtual int Foresee(const FlowKey& flow, std::span<const Candidate> candidates) {
    return Pick(flow, candidates);
  }

  // True: the changes of its candidates' loads must be counted.
  virtual bool WatchesLoads() const { return false; }

  // Asks for the memory that Pick will want and that nobody may have touched for long.
  virtual void Prefetch() const {}

  // Take over what `previous`, of the same algorithm, remembers: the service changed, not its scheduler.
  // Workers go on using `previous` for a moment; memory that both must see is shared.
  virtual void Inherit(const Scheduler& previous) {}
};

using SchedulerFactory = std::unique_ptr<Scheduler> (*)(const SchedulerSetup&);

template <class T>
std::unique_ptr<Scheduler> MakeScheduler(const SchedulerSetup& setup) {
  return std::make_unique<T>(setup);
}

// A named object of this type at the end of a file is all the registration there is.
class SchedulerEntry {
 public:
  SchedulerEntry(std::string_view name, SchedulerFactory factory);
};

// The factory of a scheduler by ipvsadm's name, or nullptr.
SchedulerFactory FindScheduler(std::string_view name);
// All names, sorted.
std::vector<std::string_view> SchedulerNames();

}  // namespace sluice
