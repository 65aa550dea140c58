// SPDX-License-Identifier: Apache-2.0
#include "tests/support/instructions.h"

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

constexpr uint64_t kTrapFlag = 1 << 8;

Instructions counted;
struct sigaction action_before;

bool IsPrefix(uint8_t byte) {
  constexpr uint8_t kPrefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3};
  for (const uint8_t prefix : kPrefixes) {
    if (byte == prefix) return true;
  }
  return false;
}

// Intel's manual, volume 2, chapter 2: prefixes, REX, opcode, ModR/M. XCHG with memory locks without saying
// so.
bool IsLocked(const uint8_t* at) {
  for (; IsPrefix(*at) || *at == 0xf0; ++at) {
    if (*at == 0xf0) return true;
  }
  if ((*at & 0xf0) == 0x40) ++at;
  const bool is_xchg = *at == 0x86 || *at == 0x87;
  return is_xchg && at[1] >> 6 != 3;
}

// The instruction pointer is that of the instruction that comes next.
void OnStep(int, siginfo_t*, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  ++counted.all;
  counted.locked += IsLocked(reinterpret_cast<const uint8_t*>(registers[REG_RIP]));
  if (counted.all == Instructions::kMost) registers[REG_EFL] &= ~static_cast<greg_t>(kTrapFlag);
}

}  // namespace

bool CanCountInstructions() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#elif defined(__has_feature)
  return !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
  return true;
#endif
}

void StartCounting() {
  struct sigaction action {};
  action.sa_sigaction = OnStep;
  action.sa_flags = SA_SIGINFO;
  SLUICE_CHECK(sigaction(SIGTRAP, &action, &action_before) == 0);
  counted = {};
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | kTrapFlag);
}

Instructions StopCounting() {
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~kTrapFlag);
  SLUICE_CHECK(sigaction(SIGTRAP, &action_before, nullptr) == 0);
  return counted;
}

}  // namespace sluice
