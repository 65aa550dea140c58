// Counts the instructions of a function, and those of them that other cores must wait for (read-modify-writes
// with a LOCK prefix, and XCHG with memory): the processor stops after each, so that nothing in what is
// measured need know of it, and no release build pays for it. Unlike time, they are the same on a busy
// machine.
// Threads: one at a time; only the caller's instructions are counted.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice {

// False with sanitizers, whose own instructions would count.
bool CanCountInstructions();

struct Instructions {
  // Code that does more is counted no further, and runs on at full speed.
  static constexpr int kMost = 100'000;

  int all = 0;
  int locked = 0;
};

void StartCounting();
Instructions StopCounting();

template <class Function>
Instructions InstructionsOf(Function function) {
  StartCounting();
  function();
  return StopCounting();
}
template <class Function>
int LockedInstructionsOf(Function function) {
  return InstructionsOf(function).locked;
}

}  // namespace sluice
