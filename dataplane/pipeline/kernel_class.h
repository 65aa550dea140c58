// Packets for the kernel by who can make many of them: each class has a ring and a budget of its own, so that
// no flood of one costs packets of another. The table of reasons is in to_kernel.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/token_bucket.h"

namespace sluice {

enum class KernelClass : uint8_t {
  kLink,     // ARP, neighbour discovery, group addresses, other than IP: only neighbours can send them
  kRouting,  // BGP and BFD with the host
  kHost,     // anything else for the host itself
  kStray,    // to virtual addresses, and what looks like it: anybody's
};
inline constexpr int kKernelClasses = 4;

// Budgets of what one worker gives the kernel in a second, and at once. Together they exceed what the kernel
// port's thread can carry, which serves the rings interleaved (runtime/kernel_port.cc): a budget bounds what
// a flood costs the kernel, and its stack.
struct KernelBudget {
  uint32_t per_second;
  uint32_t burst;
  Counter over;  // counts what is more
};
inline constexpr std::array<KernelBudget, kKernelClasses> kKernelBudgets = {{
    {20'000, 2000, Counter::kDropKernelLink},
    {20'000, 2000, Counter::kDropKernelRouting},
    {200'000, 4000, Counter::kDropKernelHost},
    {200'000, 4000, Counter::kDropKernelStray},
}};
// Rewritten packets whose next hop the kernel is to find.
inline constexpr KernelBudget kForwardsBudget = {200'000, 4000, Counter::kDropKernelForwards};

// A worker's.
struct KernelBuckets {
  explicit KernelBuckets(Jiffies now)
      : input{Of(kKernelBudgets[0], now), Of(kKernelBudgets[1], now), Of(kKernelBudgets[2], now),
              Of(kKernelBudgets[3], now)},
        forwards(Of(kForwardsBudget, now)) {}

  std::array<TokenBucket, kKernelClasses> input;
  TokenBucket forwards;

 private:
  static TokenBucket Of(const KernelBudget& budget, Jiffies now) {
    return TokenBucket(budget.per_second, budget.burst, now);
  }
};

}  // namespace sluice
