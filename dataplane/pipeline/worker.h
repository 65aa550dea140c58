// What one worker owns: its connections, timers and counters, and the values it uses in this round. The
// pipeline's functions take it as their first argument; there are no globals.
// Threads: one worker thread; counters and statistics may be read by anyone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "dataplane/config/forwarding.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/conn/connection_table.h"
#include "dataplane/conn/timer_wheel.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/huge_array.h"
#include "dataplane/net/mac_address.h"
#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/counters.h"

namespace sluice {

inline constexpr int kMaxPorts = 16;
inline constexpr int kMaxWorkers = 64;

struct PacketList {
  int count = 0;
  rte_mbuf* packets[kBurst];

  void Add(rte_mbuf* packet) { packets[count++] = packet; }
};

// What Transmit leaves for whoever runs the pipeline to send; emptied after every burst.
struct Output {
  explicit Output(int workers) : peers(workers) {}

  std::array<PacketList, kMaxPorts> wire;
  PacketList kernel_input;
  PacketList kernel_output;
  std::vector<PacketList> peers;
};

struct Worker {
  struct Setup {
    int index = 0;
    int workers = 1;
    uint32_t connection_capacity = 1 << 20;
    HashSecret secret;  // the same for all workers
    Jiffies now = 0;
    DestinationTable* destinations = nullptr;
    std::vector<MacAddress> port_macs;  // by port
  };
  explicit Worker(const Setup& setup);

  const int index;
  const int workers;
  const HashSecret secret;
  const std::vector<MacAddress> port_macs;
  DestinationTable& destinations;

  // Of this round.
  Jiffies now;
  const Snapshot* snapshot = nullptr;
  const Forwarding* forwarding = nullptr;
  StateTimeouts timeouts{TimeoutSpec{}};

  ConnectionTable connections;
  TimerWheel wheel;
  Counters counters;
  HugeArray<StatisticsLine> statistics;  // by DestinationId
  Output output;

  // Uses these values from now on. Called between bursts.
  void Use(const Snapshot& snapshot, const Forwarding& forwarding);
};

}  // namespace sluice
