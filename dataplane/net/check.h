// SLUICE_CHECK: for our own bugs only. It prints what was broken and aborts; the kernel then takes
// over the traffic. Never use it for anything that arrives from outside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sluice {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* claim) {
  std::fprintf(stderr, "sluice: %s:%d: broken invariant: %s\n", file, line, claim);
  std::abort();
}

}  // namespace sluice

#define SLUICE_CHECK(claim) \
  (__builtin_expect(!!(claim), 1) ? void(0) : ::sluice::CheckFailed(__FILE__, __LINE__, #claim))
