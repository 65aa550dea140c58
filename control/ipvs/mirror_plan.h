// The mirror's decisions, without the kernel: what it wants, what it saw and what the kernel can do go in,
// requests come out, and what the kernel answered goes in again. Nothing here waits, reads a clock or asks
// anybody.
// Threads: values; pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/ipvs/conntrack.h"
#include "control/ipvs/kernel_service.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

struct MirrorState {
  using Clock = std::chrono::steady_clock;
  struct Note {
    bool impossible = false;
    std::string what;
  };
  // A service or real servers that the kernel has refused, until the configuration changes.
  struct Refused {
    std::string service;  // why
    std::vector<KernelDestination> destinations;
  };
  // Somebody else undoes what is written.
  struct Contest {
    int rounds = 0;
    Clock::time_point last{};
    Clock::time_point until{};  // it is left alone
  };

  std::map<ServiceKey, v1::Service> wanted;
  std::set<ServiceKey> dirty;  // to be compared, and written if it differs

  std::map<ServiceKey, KernelService> known;  // ours, as the kernel has them
  std::set<ServiceKey> foreign;
  std::set<ServiceKey> owned;   // as the record has it
  std::set<ServiceKey> missed;  // of those, not wanted and not listed the last time
  std::map<ServiceKey, Contest> contests;
  std::string other;  // who undoes it, as far as that can be told

  std::vector<std::pair<IpAddress, uint8_t>> excluded;  // whose services are somebody else's
  bool can_masquerade = false;
  std::string why_unguarded;  // empty: clients can be kept away
  std::set<std::string> missing_schedulers;
  std::map<ServiceKey, Refused> refused;

  std::map<ServiceKey, Note> notes;

  bool IsContested(const ServiceKey& key, Clock::time_point now) const;
  // At the moment.
  size_t CountContested(Clock::time_point now) const;
  bool HasServicesOf(v1::Owner owner) const;
};

struct MirrorPlan {
  std::vector<std::pair<ServiceKey, KernelServiceChange>> changes;
  std::map<ServiceKey, KernelService> target;  // of the dirty ones, those that the kernel will have
  std::map<ServiceKey, PacketNeeds> needs;     // of those that have any
  std::map<ServiceKey, MirrorState::Note> notes;
  std::set<ServiceKey> handled;  // of the dirty ones
  std::set<ServiceKey> left;     // alone, for they are contested
  std::set<ServiceKey>
      newly_owned;  // what is written is ours before it is there, and what goes until it has gone
  std::set<UdpServer> gone_udp_servers;
};

struct MirrorOutcome {
  std::set<ServiceKey> settled;
  uint64_t errors = 0;
  bool in_doubt = false;  // the kernel must be read again
  bool names_changed = false;
};

// Takes a configuration update.
void TakeNews(MirrorState& state, const v1::WatchConfigResponse& news);
// Takes the kernel's list of services, which may lack some if others were deleted meanwhile. Returns the number
// of our services that somebody else had changed.
uint64_t Observe(MirrorState& state, std::vector<KernelService> services, MirrorState::Clock::time_point now);
MirrorPlan PlanMirror(const MirrorState& state, MirrorState::Clock::time_point now);
// Has the plan's changes made by `apply`, which answers with 0 or an error number for each. A service that
// cannot be made gets no real servers: it may be somebody else's.
std::vector<int> Carry(const MirrorPlan& plan,
                       const std::function<std::vector<int>(const std::vector<KernelServiceChange>&)>& apply);
// `answers`: what the kernel said of each of the plan's changes, 0 or an error number.
MirrorOutcome Settle(MirrorState& state, const MirrorPlan& plan, const std::vector<int>& answers);

}  // namespace sluice
