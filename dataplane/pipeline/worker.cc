// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/worker.h"

#include <bit>

namespace sluice {

Worker::Worker(const Setup& setup)
    : index(setup.index),
      workers(setup.workers),
      identification_step(static_cast<uint16_t>(std::bit_ceil(static_cast<uint32_t>(setup.workers)))),
      secret(setup.secret),
      port_macs(setup.port_macs),
      port_numbers(setup.port_numbers),
      destinations(*setup.destinations),
      persistence(*setup.persistence),
      now(setup.now),
      connections(setup.connection_capacity, setup.secret),
      wheel(setup.connection_capacity, setup.now),
      eviction(setup.connection_capacity),
      shares(setup.secret),
      defence(setup.now),
      statistics(kMaxDestinations),
      output(setup.workers),
      fragments(setup.secret),
      icmp_limit(kIcmpPerSecond, kIcmpBurst, setup.now),
      refusal_limit(kRefusalsPerSecond, kRefusalsBurst, setup.now),
      kernel_buckets(setup.now),
      identification(static_cast<uint16_t>(static_cast<uint32_t>(setup.secret.words[1]) /
                                               identification_step * identification_step +
                                           static_cast<uint32_t>(setup.index))),
      // No two workers send the same soon, and nobody else can tell them (RFC 7739).
      split_identification(static_cast<uint32_t>(setup.secret.words[0]) +
                           static_cast<uint32_t>(setup.index) * 0x04000000),
      tunnels(kMaxDestinations) {}

void Worker::Use(const Snapshot& new_snapshot, const Forwarding& new_forwarding) {
  forwarding = &new_forwarding;
  snapshot = &new_snapshot;
  configuration = new_snapshot.generation << 32 | new_forwarding.generation();
  // Not by its address: while this worker slept, another may have come and gone, and this one be where it
  // was.
  if (generation == new_snapshot.generation) return;
  generation = new_snapshot.generation;
  timeouts = StateTimeouts(new_snapshot.timeouts);
  if (settings == new_snapshot.settings) return;
  settings = new_snapshot.settings;
  defence.Decide(settings, connections.capacity() - connections.size());
}

}  // namespace sluice
