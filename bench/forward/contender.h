// One of those that forward the same traffic over the same devices in turns.
// Threads: Run on the worker's lcore, until Stop by the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace sluice {

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
