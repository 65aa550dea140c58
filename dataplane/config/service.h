// A virtual service as workers see it: its destinations and their scheduler.
// Immutable but for the scheduler's own memory; shared by all snapshots in which it did not change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/config/local_ports.h"
#include "dataplane/config/source_filter.h"
#include "dataplane/config/spec.h"
#include "schedulers/scheduler.h"

namespace sluice {

// Where a connection with full NAT may come from, as its real server sees it.
struct LocalSource {
  IpAddress address;
  int interface = 0;  // 0: any
  Protocol protocol = Protocol::kTcp;
  PortPool* ports = nullptr;  // at least as long as the service or a connection has it
};

struct alignas(64) Service {
  explicit Service(const ServiceSpec& wanted)
      : port(wanted.key.port),
        has_fwmark(wanted.key.HasFwmark()),
        is_persistent(wanted.persistence.timeout_seconds > 0),
        one_packet(wanted.one_packet),
        spec(wanted) {}

  // All that almost every new connection wants to know, in one cache line: among many services none is near.
  std::vector<Candidate> candidates;  // in list order: the newest first
  std::unique_ptr<Scheduler> scheduler;
  std::shared_ptr<const SourceFilter> sources;  // nullptr: everybody
  const Be16 port;                              // from here on as in `spec`
  const bool has_fwmark;
  const bool is_persistent;
  const bool one_packet;

  const ServiceSpec spec;
  std::unordered_map<DestinationId, std::vector<LocalSource>> local_sources;  // of those with full NAT
};

}  // namespace sluice
