// The kernel's estimator of rates: every two seconds an exponentially weighted average, a quarter of it new,
// in the same fixed-point arithmetic, so that the figures are the same.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "dataplane/runtime/dataplane.h"

namespace sluice {

class RateEstimator {
 public:
  static constexpr std::chrono::seconds kEvery{2};

  RateEstimator() = default;
  // Counts from what there is now.
  explicit RateEstimator(const DestinationStatistics& now) : last_(now) {}

  // Call it every two seconds.
  void Update(const DestinationStatistics& now) {
    Follow(connections_, now.connections - last_.connections, kPacketShift);
    Follow(in_packets_, now.in_packets - last_.in_packets, kPacketShift);
    Follow(out_packets_, now.out_packets - last_.out_packets, kPacketShift);
    Follow(in_bytes_, now.in_bytes - last_.in_bytes, kByteShift);
    Follow(out_bytes_, now.out_bytes - last_.out_bytes, kByteShift);
    last_ = now;
  }

  // Averages begin anew, from the count there is.
  void Zero() { connections_ = in_packets_ = out_packets_ = in_bytes_ = out_bytes_ = 0; }

  // Per second.
  DestinationStatistics Rates() const {
    return {.connections = Rate(connections_, kPacketShift),
            .in_packets = Rate(in_packets_, kPacketShift),
            .out_packets = Rate(out_packets_, kPacketShift),
            .in_bytes = Rate(in_bytes_, kByteShift),
            .out_bytes = Rate(out_bytes_, kByteShift)};
  }

 private:
  // Binary places of the averages of connections and packets, and of bytes.
  static constexpr int kPacketShift = 10;
  static constexpr int kByteShift = 5;

  // A count of two seconds is half as much a second.
  static void Follow(int64_t& average, uint64_t count, int shift) {
    average += (static_cast<int64_t>(count << (shift - 1)) - average) >> 2;
  }
  static uint64_t Rate(int64_t average, int shift) {
    return static_cast<uint64_t>(average + (1 << (shift - 1)) - 1) >> shift;
  }

  DestinationStatistics last_;
  int64_t connections_ = 0;
  int64_t in_packets_ = 0;
  int64_t out_packets_ = 0;
  int64_t in_bytes_ = 0;
  int64_t out_bytes_ = 0;
};

}  // namespace sluice
