// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/huge_array.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sluice {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

constexpr size_t kPage = 4096;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// A small array would waste most of a huge page.
size_t UnitOf(size_t bytes) { return bytes < kHugePage ? kPage : kHugePage; }

}  // namespace

// Transparent huge pages: they need no reservation.
void* AllocateHuge(size_t bytes, Pages pages) {
  const size_t unit = UnitOf(bytes);
  const size_t length = RoundUp(bytes, unit);
  void* reserved = mmap(nullptr, length + unit, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    std::fprintf(
        stderr, "sluiced: %zu MB of address space are refused: %s; allow more (ulimit -v), or ask for less\n",
        length >> 20, std::strerror(errno));
    std::abort();
  }
  const uintptr_t start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = RoundUp(start, unit);
  if (aligned != start) munmap(reserved, aligned - start);
  munmap(reinterpret_cast<void*>(aligned + length), start + unit - aligned);
  if (unit == kHugePage) madvise(reinterpret_cast<void*>(aligned), length, MADV_HUGEPAGE);
  if (pages == Pages::kAtOnce) CommitHuge(reinterpret_cast<void*>(aligned), bytes);
  return reinterpret_cast<void*>(aligned);
}

void CommitHuge(void* memory, size_t bytes) {
  const size_t length = RoundUp(bytes, UnitOf(bytes));
  if (madvise(memory, length, MADV_POPULATE_WRITE) == 0) return;
  // Before Linux 5.14: a write that changes nothing, whoever else may write at the same time.
  auto* at = static_cast<char*>(memory);
  for (char* end = at + length; at < end; at += kPage) __atomic_fetch_or(at, 0, __ATOMIC_RELAXED);
}

void FreeHuge(void* memory, size_t bytes) { munmap(memory, RoundUp(bytes, UnitOf(bytes))); }

}  // namespace sluice
