// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/defence.h"

namespace sluice {
namespace {

constexpr uint32_t kOff = 0;
constexpr uint32_t kAlways = 3;

}  // namespace

void Defence::Decide(const Settings& settings, uint32_t free_connections) {
  is_short_ = free_connections < settings.amemthresh;
  const auto is_on = [&](uint32_t mode) { return mode == kAlways || (mode != kOff && is_short_); };
  dropping_entries_ = is_on(settings.drop_entry);
  secure_tcp_ = is_on(settings.secure_tcp);
  if (!is_on(settings.drop_packet)) {
    packet_rate_ = 0;
  } else if (settings.drop_packet == kAlways) {
    packet_rate_ = static_cast<int>(settings.am_droprate);
  } else {
    packet_rate_ = packet_counter_ =
        static_cast<int>(settings.amemthresh / (settings.amemthresh - free_connections));
  }
}

bool Defence::IsDue(Jiffies now) {
  if (!is_hurried_ && !HasPassed(next_, now)) return false;
  is_hurried_ = false;
  next_ = now + kJiffiesPerSecond;
  return true;
}

bool Defence::DropsIdleEntry(uint32_t in_packets) {
  if (in_packets == 0 || in_packets > kMostPackets) return false;
  if (entry_counters_[in_packets] > 1) {
    --entry_counters_[in_packets];
    return false;
  }
  entry_counters_[in_packets] = in_packets;
  return true;
}

// Marsaglia's xorshift; its state is never 0.
uint32_t Defence::Random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return random_;
}

}  // namespace sluice
