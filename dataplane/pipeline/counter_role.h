// The role of each counter, which its name says: "a packet counts under exactly one" can be checked. A packet
// that goes no further as it is counts under one reason; if its sender was to be told, also under one answer.
// A packet that was rewritten and leaves counts under none, unless the kernel sends it or it was split.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/counters.h"

namespace sluice {

enum class CounterRole : uint8_t {
  kOther,    // of the worker's loop, or beside a packet's way
  kReason,   // kernel_..., refused_..., drop_...: why a packet goes no further
  kAnswer,   // what became of the answer to such a packet
  kLeaving,  // a rewritten packet's way out that is not the plain one
  kBirth,    // of a connection
  kDeath,    // of one; evicted_..., too
};

constexpr CounterRole RoleOf(Counter counter, std::string_view name) {
  switch (counter) {
    case Counter::kConnectionsCreated: return CounterRole::kBirth;
    case Counter::kConnectionsExpired:
    case Counter::kConnectionsReused:
    case Counter::kConnectionsRescheduled:
    case Counter::kConnectionsDropped: return CounterRole::kDeath;
    case Counter::kSentReset:
    case Counter::kSentIcmp:
    case Counter::kIcmpLimited:
    case Counter::kResetLimited:
    case Counter::kAnswerNoRoute:
    case Counter::kAnswerNoHeadroom:
    case Counter::kAnswerTooLarge:
    case Counter::kAnswerKernelFull: return CounterRole::kAnswer;
    case Counter::kEchoAnswered:
    case Counter::kTunnelErrors: return CounterRole::kReason;
    case Counter::kSplit:
    case Counter::kKernelForwards: return CounterRole::kLeaving;
    case Counter::kDropPortFull:
    case Counter::kDropPeerFull:
    case Counter::kDropPeerOpening:
    case Counter::kDropPortGone:
    case Counter::kDropKernelFull: return CounterRole::kOther;  // after the pipeline
    default: break;
  }
  if (name.starts_with("kernel_") || name.starts_with("refused_") || name.starts_with("drop_"))
    return CounterRole::kReason;
  return name.starts_with("evicted_") ? CounterRole::kDeath : CounterRole::kOther;
}

inline CounterRole RoleOf(Counter counter) {
  return RoleOf(counter, kCounterDescriptions[static_cast<size_t>(counter)].name);
}

}  // namespace sluice
