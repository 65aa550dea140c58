// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/huge_array.h"

#include <sys/mman.h>

#include <cstdint>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

}  // namespace

// Transparent huge pages: they need no reservation, and what is not used costs nothing.
void* AllocateHuge(size_t bytes) {
  const size_t length = RoundUp(bytes);
  void* reserved = mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  SLUICE_CHECK(reserved != MAP_FAILED);
  const uintptr_t start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = RoundUp(start);
  if (aligned != start) munmap(reserved, aligned - start);
  munmap(reinterpret_cast<void*>(aligned + length), start + kHugePage - aligned);
  void* memory = reinterpret_cast<void*>(aligned);
  madvise(memory, length, MADV_HUGEPAGE);
  return memory;
}

void FreeHuge(void* memory, size_t bytes) { munmap(memory, RoundUp(bytes)); }

}  // namespace sluice
