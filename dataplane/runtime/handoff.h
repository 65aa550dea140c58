// Packets that met the wrong worker change worker here, once: one ring into each worker, which also is how
// a sleeping worker is woken.
// Threads: Give by any worker; Take and the sleep functions by the worker of that index; Wake by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"

struct rte_mbuf;
struct rte_ring;

namespace sluice {

class Handoff {
 public:
  static absl::StatusOr<std::unique_ptr<Handoff>> Create(int workers);
  ~Handoff();

  // Returns how many the worker's ring had room for; the caller keeps the rest.
  int Give(int worker, rte_mbuf** packets, int count);
  // Packets that would open connections: the half of the ring that is filled last is not for them.
  int GiveOpenings(int worker, rte_mbuf** packets, int count);
  int Take(int worker, rte_mbuf** packets, int limit);

  // Before it sleeps a worker says so; false: there is work, do not. It sleeps in poll(2) on wake_fd.
  bool FallAsleep(int worker);
  void StandUp(int worker);
  int wake_fd(int worker) const { return ways_[worker]->wake_fd; }
  void Wake(int worker);

 private:
  struct alignas(64) Way {
    rte_ring* ring = nullptr;
    int wake_fd = -1;
    std::atomic<bool> asleep{false};
  };
  Handoff() = default;
  std::vector<std::unique_ptr<Way>> ways_;  // by worker
};

}  // namespace sluice
