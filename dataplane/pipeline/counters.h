// Everything that can happen to a packet other than being forwarded has a counter with a name.
// Threads: a worker's counters are written by that worker only, and read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace sluice {

enum class Counter : uint8_t {
  kReceived,
  kSent,
  kConnectionsCreated,
  kConnectionsExpired,
  kConnectionsReused,
  kEvictedClosed,
  kEvictedUnanswered,
  kEvictedIdleUdp,
  kEvictedIdle,
  kEvictedOverShare,
  kEvictedForPort,
  kTemplatesEvictedUnassured,
  kTemplatesEvictedIdle,
  kConnectionsRescheduled,
  kConnectionsDropped,
  kConnectionsReset,
  kSplit,
  kSentReset,
  kSentIcmp,
  kIcmpLimited,
  kResetLimited,
  kWrongChecksum,
  kAnswerNoRoute,
  kAnswerNoHeadroom,
  kAnswerTooLarge,
  kAnswerKernelFull,
  kOnePacket,
  kKernelArp,
  kKernelIpv6Headers,
  kKernelVlan,
  kKernelEtherType,
  kKernelGroupAddress,
  kKernelIcmp,
  kKernelFragment,
  kKernelProtocol,
  kKernelNoService,
  kKernelNoConnection,
  kKernelFtpData,
  kKernelBypass,
  kKernelLocal,
  kKernelForwards,
  kFromKernel,
  kPeerGiven,
  kPeerTaken,
  kEchoAnswered,
  kTunnelErrors,
  kRefusedNoDestination,
  kRefusedSource,
  kRefusedReply,
  kRefusedPortsExhausted,
  kRefusedNoLocalAddress,
  kRefusedTableFull,
  kRefusedTemplatesFull,
  kDropFrameTruncated,
  kDropOtherHost,
  kDropVlan,
  kDropIpTruncated,
  kDropIpHeader,
  kDropIpLength,
  kDropIpChecksum,
  kDropIpSource,
  kDropIpUnspecified,
  kDropIpLoopback,
  kDropIpMulticast,
  kDropIpv4Notation,
  kDropTcpTruncated,
  kDropTcpHeader,
  kDropTransportChecksum,
  kDropUdpTruncated,
  kDropUdpLength,
  kDropSctpTruncated,
  kDropFragmentsFull,
  kFragmentsEvicted,
  kDropFragmentAlone,
  kDropFragmentOfNone,
  kDropFragmentSctp,
  kDropDefence,
  kDropOverload,
  kDropDestinationRemoved,
  kDropDrainOver,
  kDropConnectionReused,
  kDropTtlExpired,
  kDropNoRoute,
  kDropExceedsMtu,
  kDropIcmpChecksum,
  kDropNoSource,
  kDropNoHeadroom,
  kPortStalled,
  kDropPortFull,
  kDropPortGone,
  kDropPeerFull,
  kDropPeerOpening,
  kDropKernelLink,
  kDropKernelRouting,
  kDropKernelHost,
  kDropKernelStray,
  kDropKernelForwards,
  kDropKernelFull,
  kCount,
};
inline constexpr int kCounterCount = static_cast<int>(Counter::kCount);

struct CounterDescription {
  Counter counter;
  std::string_view name;
  std::string_view meaning;
};
// In the order of the enum.
extern const std::array<CounterDescription, kCounterCount> kCounterDescriptions;

class Counters {
 public:
  void Add(Counter counter, uint64_t amount = 1) {
    std::atomic<uint64_t>& value = values_[static_cast<int>(counter)];
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t Get(Counter counter) const {
    return values_[static_cast<int>(counter)].load(std::memory_order_relaxed);
  }

 private:
  alignas(64) std::array<std::atomic<uint64_t>, kCounterCount> values_{};
};

// Statistics of one destination on one worker, a cache line.
struct alignas(64) StatisticsLine {
  std::atomic<uint64_t> connections;
  struct Traffic {
    std::atomic<uint64_t> packets;
    std::atomic<uint64_t> bytes;
  };
  Traffic traffic[2];  // by Direction

  const Traffic& in() const { return traffic[0]; }
  const Traffic& out() const { return traffic[1]; }

  static void Add(std::atomic<uint64_t>& value, uint64_t amount) {
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
};

}  // namespace sluice
