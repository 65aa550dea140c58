// One of those that forward the same traffic over the same devices in turns.
// Threads: Run on the worker's lcore, until Stop by the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace sluice {

// A worker's queue on either device. net_null counts in structures of 40 bytes side by side: workers whose
// queues were neighbours would share a cache line, as those of no real device do.
constexpr uint16_t QueueOf(int worker) { return static_cast<uint16_t>(4 * worker); }

class Contender {
 public:
  virtual ~Contender() = default;
  virtual const char* name() const = 0;
  // Before every round.
  virtual void GetReady() = 0;
  virtual void Run(int worker) = 0;
  virtual void Stop() = 0;
  // Of all rounds: what became of the packets, by name.
  virtual std::map<std::string, uint64_t> Counts() const { return {}; }
};

}  // namespace sluice
