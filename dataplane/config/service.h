// A virtual service as workers see it: its destinations and their scheduler.
// Immutable but for the scheduler's own memory; shared by all snapshots in which it did not change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "dataplane/config/source_filter.h"
#include "dataplane/config/spec.h"
#include "schedulers/scheduler.h"

namespace sluice {

struct Service {
  ServiceSpec spec;
  std::vector<Candidate> candidates;  // in list order: the newest first
  std::unique_ptr<Scheduler> scheduler;
  std::shared_ptr<const SourceFilter> sources;  // nullptr: everybody
};

}  // namespace sluice
