// How much memory this process may still take, whoever limits it: the machine, its control groups, or the
// limit of its address space.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice {

struct MemoryRoom {
  uint64_t bytes = UINT64_MAX;
  std::string limit;  // who sets it, in words
};
MemoryRoom RoomForMemory();

// Memory that is kept back for the moment when there is no more: what was begun ends with it, and nothing new
// is begun until it is there again. Without it an allocation that fails ends the process. Threads: Hold once,
// at start; IsHeld any.
class MemoryReserve {
 public:
  static void Hold(size_t bytes);
  // Takes it again if it was used, and there is room. False: there is none.
  static bool IsHeld();
};

}  // namespace sluice
