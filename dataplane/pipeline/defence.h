// IPVS's defences against overload: drop_entry, drop_packet, secure_tcp. Modes: 0 never, 1 and 2 while
// memory is short, 3 always. The memory that can be short here is the worker's connection table.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/config/spec.h"
#include "dataplane/conn/jiffies.h"

namespace sluice {

class Defence {
 public:
  explicit Defence(Jiffies now) : next_(now + kJiffiesPerSecond), random_(now * 2 + 1) {}

  // Anew once a second, and when settings change.
  void Decide(const Settings& settings, uint32_t free_connections);
  bool IsDue(Jiffies now);
  // A connection is about to be made: what depends on memory is decided at once when it becomes short or no
  // longer is, not at the end of the second.
  void NoticeRoom(const Settings& settings, uint32_t free_connections) {
    if ((free_connections < settings.amemthresh) == is_short_) return;
    Decide(settings, free_connections);
    is_hurried_ = is_short_;
  }

  bool secure_tcp() const { return secure_tcp_; }
  bool dropping_entries() const { return dropping_entries_; }
  // drop_packet: one packet in so many that would open a connection; 0: none.
  bool DropsThisPacket() {
    if (packet_rate_ == 0 || --packet_counter_ > 0) return false;
    packet_counter_ = packet_rate_;
    return true;
  }
  // drop_entry, for a connection unused for a minute after so many packets: the fewer, the likelier it goes.
  bool DropsIdleEntry(uint32_t in_packets);
  uint32_t Random();

 private:
  static constexpr uint32_t kMostPackets = 8;

  Jiffies next_;
  uint32_t random_;
  bool is_short_ = false;
  bool is_hurried_ = false;
  bool secure_tcp_ = false;
  bool dropping_entries_ = false;
  int packet_rate_ = 0;
  int packet_counter_ = 0;
  std::array<uint32_t, kMostPackets + 1> entry_counters_{};
};

}  // namespace sluice
