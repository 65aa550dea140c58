// Counts the read-modify-writes that other cores must wait for (instructions with a LOCK prefix, and XCHG
// with memory) while a function runs: the processor stops after each instruction, so that nothing in what is
// measured need know of it, and no release build pays for it. Threads: one at a time; only the caller's
// instructions are counted. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

// True if instructions can be counted here: on x86-64, without sanitizers, whose own would count.
bool CanCountLockedInstructions();

void StartCountingLocked();
int StopCountingLocked();

template <class Function>
int LockedInstructionsOf(Function function) {
  StartCountingLocked();
  function();
  return StopCountingLocked();
}

}  // namespace sluice
