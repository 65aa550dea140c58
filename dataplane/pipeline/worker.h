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
#include "dataplane/conn/age_lists.h"
#include "dataplane/conn/connection_shares.h"
#include "dataplane/conn/connection_table.h"
#include "dataplane/conn/sync_listener.h"
#include "dataplane/conn/sync_queue.h"
#include "dataplane/conn/timer_wheel.h"
#include "dataplane/net/check.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/huge_array.h"
#include "dataplane/net/mac_address.h"
#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/defence.h"
#include "dataplane/pipeline/fragments.h"
#include "dataplane/pipeline/kernel_class.h"
#include "dataplane/pipeline/opening_budget.h"
#include "dataplane/pipeline/rewrite_tunnel.h"
#include "dataplane/pipeline/token_bucket.h"
#include "dataplane/pipeline/worker_load.h"

namespace sluice {

inline constexpr int kMaxPorts = 16;
inline constexpr int kMaxWorkers = 64;

struct PacketList {
  int count = 0;
  rte_mbuf* packets[kBurst];

  void Add(rte_mbuf* packet) {
    SLUICE_CHECK(count < kBurst);
    packets[count++] = packet;
  }
};

// What Transmit leaves for whoever runs the pipeline to send; emptied after every burst.
struct Output {
  explicit Output(int workers) : peers(workers), peer_openings(workers) {}

  std::array<PacketList, kMaxPorts> wire;
  std::array<PacketList, kKernelClasses> kernel_input;
  PacketList kernel_output;
  std::vector<PacketList> peers;
  std::vector<PacketList> peer_openings;  // the same that would open a connection

  // Fragments of packets that were too large for their link: some for a packet, so they have a list of their
  // own.
  static constexpr int kMostPieces = 512;
  int piece_count = 0;
  rte_mbuf* pieces[kMostPieces];
  uint16_t piece_ports[kMostPieces];
};

struct Worker {
  struct Setup {
    int index = 0;
    int workers = 1;
    uint32_t connection_capacity = 1 << 20;
    HashSecret secret;  // the same for all workers
    Jiffies now = 0;
    DestinationTable* destinations = nullptr;
    PersistenceTable* persistence = nullptr;
    std::vector<MacAddress> port_macs;   // by DPDK port
    std::vector<uint16_t> port_numbers;  // of the data path, by DPDK port
  };
  explicit Worker(const Setup& setup);

  const int index;
  const int workers;
  const uint16_t identification_step;  // a power of two, so that it goes on after the wrap
  const HashSecret secret;
  std::vector<MacAddress> port_macs;  // written between rounds, when an interface has another
  const std::vector<uint16_t> port_numbers;
  DestinationTable& destinations;
  PersistenceTable& persistence;

  // Of this round.
  Jiffies now;
  const Snapshot* snapshot = nullptr;
  uint64_t generation = 0;  // of the snapshot from which timeouts and settings are
  const Forwarding* forwarding = nullptr;
  uint64_t configuration = 0;  // another number for every pair of those two
  StateTimeouts timeouts{TimeoutSpec{}};
  Settings settings;
  SyncPolicy sync;                        // which connections are told of
  SyncListener* sync_listener = nullptr;  // at once of those that are being opened

  ConnectionTable connections;
  TimerWheel wheel;
  AgeLists<EvictionList> eviction;
  ConnectionShares shares;
  uint32_t eviction_hand = 1;  // the next connection to look at for an idle one
  Defence defence;
  OpeningBudget openings;
  uint32_t sweeps_seen = 0;
  // The next connection that a sweep looks at, and how many it still has to.
  uint32_t sweep_at = 1;
  uint32_t sweep_left = 0;
  // The next template, of those of worker 0; 0: none.
  uint32_t template_sweep_at = 0;
  bool template_sweep_again = false;
  uint32_t template_drop_at = 0;
  uint32_t drop_entry_at = UINT32_MAX;  // the next connection that drop_entry looks at; past the last: none
  DestinationId path_mtu_at = kNoDestination + 1;
  uint64_t created_seen = 0;  // connections, at the last expiry
  Counters counters;
  WorkerLoad load;
  HugeArray<StatisticsLine> statistics;  // by DestinationId
  static constexpr uint64_t kSyncQueue = 1 << 14;
  SyncQueue sync_queue{kSyncQueue};
  Output output;
  FragmentTable fragments;
  TokenBucket icmp_limit;
  TokenBucket refusal_limit;
  KernelBuckets kernel_buckets;
  uint16_t identification;        // of the next outer IPv4 header
  uint32_t split_identification;  // of the next outer IPv6 packet in fragments
  // What is worked out once for each destination and generation of routes.
  struct alignas(128) Tunnel {
    uint64_t fits = 0;      // as of this configuration, the headers are right
    TunnelHeaders headers;  // made when a plain packet wants them
    IpAddress source;
    uint32_t generation = 0;  // of the routes
    uint32_t life = 0;        // of the id
    bool is_set = false;

    bool IsOf(uint32_t generation_now, uint32_t life_now) const {
      return is_set && generation == generation_now && life == life_now;
    }
  };
  HugeArray<Tunnel> tunnels;  // by DestinationId

  // No two workers give the same until 65,536 were given in all: fragments of tunnels do not mix.
  uint16_t NextIdentification() {
    const uint16_t next = identification;
    identification = static_cast<uint16_t>(identification + identification_step);
    return next;
  }

  // Uses these values from now on. Called between bursts.
  void Use(const Snapshot& snapshot, const Forwarding& forwarding);
};

}  // namespace sluice
