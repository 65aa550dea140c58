// The traffic of bench/run forward: 64-byte frames (60 without the check sequence; IPv6's are as short as
// they can be) of N flows in an order without pattern, a share of them new, answers, or datagrams in two
// fragments. Written into buffers as a device receives them, on the worker's own core.
// Threads: Traffic is
// shared and constant after preparation; a Source is its worker's, its counts anyone's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "dataplane/net/endpoint.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/headers.h"
#include "dataplane/pipeline/batch.h"

namespace sluice {

inline constexpr int kBenchServers = 3;
inline constexpr int kBenchLocals = 64;

struct TrafficOptions {
  bool v6 = false;
  Protocol protocol = Protocol::kUdp;
  uint32_t flows = 1;  // a power of two
  uint32_t services = 1;
  bool to_last = false;  // all flows are to the last service; else flow i is to service i % services
  double fresh = 0;      // shares of the packets, 0..1
  double answers = 0;
  double fragments = 0;
  bool backlog = false;  // every burst is full
};

// What a real server sees of a flow, and answers to.
struct FlowAtServer {
  uint8_t server = 0;
  uint8_t local = 0xff;  // a local address of full NAT; 0xff: the client's own
  Be16 local_port;
};

class Traffic {
 public:
  explicit Traffic(const TrafficOptions& options);

  const TrafficOptions& options() const { return options_; }
  IpAddress ClientOf(uint32_t flow) const { return Address(kClients, flow >> 12); }
  static Be16 ClientPortOf(uint32_t flow) {
    return Be16::FromHost(static_cast<uint16_t>(1024 + (flow & 0xfff)));
  }
  bool IsClient(const IpAddress& address) const { return address == Address(kClients, NumberOf(address)); }
  // Of a client.
  static uint32_t FlowOf(const IpAddress& address, Be16 port) {
    return NumberOf(address) << 12 | (port.ToHost() - 1024u);
  }
  IpAddress ServiceOf(uint32_t flow) const { return ServiceAt(ServiceNumberOf(flow)); }
  IpAddress ServiceAt(uint32_t service) const { return Address(kServices, service); }
  IpAddress ServerAt(int server) const { return Address(kServers, static_cast<uint32_t>(server) + 1); }
  IpAddress LocalAt(int local) const { return Address(kLocals, static_cast<uint32_t>(local) + 1); }
  static constexpr Be16 kServicePort = Be16::FromHost(80);
  static constexpr Be16 kServerPort = Be16::FromHost(8080);

  // `sent`: what came out for a packet of the flow's client.
  void LearnAtServer(uint32_t flow, const rte_mbuf& sent);
  const FlowAtServer& AtServer(uint32_t flow) const { return at_server_[flow]; }

  void WriteOfClient(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const;
  void WriteAnswer(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const;
  // IPv4: the first of two fragments, or the second.
  void WriteFragment(rte_mbuf* packet, uint32_t flow, uint16_t identification, bool first) const;
  void PrefetchAtServer(uint32_t flow) const { __builtin_prefetch(&at_server_[flow]); }

 private:
  enum Network : uint8_t { kClients = 11, kServices = 10, kServers = 12, kLocals = 13 };
  IpAddress Address(Network network, uint32_t number) const;
  template <class Ip>
  Ip Wire(Network network, uint32_t number) const;
  uint32_t ServiceNumberOf(uint32_t flow) const {
    return options_.to_last ? options_.services - 1 : flow % options_.services;
  }
  static uint32_t NumberOf(const IpAddress& address) {
    return uint32_t{address.bytes[13]} << 16 | uint32_t{address.bytes[14]} << 8 | address.bytes[15];
  }
  template <class Header, class Ip>
  void Write(rte_mbuf* packet, Ip source, Be16 source_port, Ip destination, Be16 destination_port,
             uint8_t tcp_flags) const;
  template <class Header, class Ip>
  void WriteFromClient(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const;
  template <class Header, class Ip>
  void WriteFromServer(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const;

  const TrafficOptions options_;
  std::vector<FlowAtServer> at_server_;  // by flow
  alignas(64) uint8_t frame_[96] = {};
  uint16_t frame_length_ = 0;
  uint32_t header_sum_ = 0;
  uint32_t transport_sum_ = 0;
};

// One worker's share: the flows of `mine`, or all.
class Source {
 public:
  // New flows are those that worker `index` owns.
  Source(const Traffic& traffic, std::vector<uint32_t> mine, const FlowOwners& owners, uint32_t index);

  // Fills the next packets, at most 32.
  void Write(rte_mbuf** packets, int count);

  // As a device's queues are offered packets at one rate, nobody gets far ahead of another worker's source.
  void KeepInStepWith(const Source& other) { other_ = &other; }
  bool IsAhead() const {
    return other_ != nullptr && counts_.packets.load(std::memory_order_relaxed) >
                                    other_->counts_.packets.load(std::memory_order_relaxed) + kMostAhead;
  }

  // Packets of the next burst, of so many that fit. A queue that has a burst for every call is one that
  // overflows, and workers shed openings then: without a backlog one in four bursts is a packet short.
  uint16_t Offers(uint16_t count) {
    const bool is_short = !traffic_.options().backlog && count == kBurst && ++bursts_ % 4 == 0;
    return is_short ? count - 1 : count;
  }

  // Called with every burst, on the worker's thread.
  void SetWatch(std::function<void()> watch) { watch_ = std::move(watch); }

  struct alignas(64) Counts {
    std::atomic<uint64_t> packets{0};
    std::atomic<uint64_t> fresh{0};
  };
  const Counts& counts() const { return counts_; }
  // How often it has been through its established flows.
  double Periods() const {
    const uint64_t established =
        counts_.packets.load(std::memory_order_relaxed) - counts_.fresh.load(std::memory_order_relaxed);
    return static_cast<double>(established) /
           (mine_.empty() ? mask_ + 1.0 : static_cast<double>(mine_.size()));
  }

 private:
  uint32_t Next();
  uint32_t NextFresh();
  // Whether a thing of this share is due.
  static bool IsDue(uint32_t& owed, uint32_t share) {
    const uint32_t before = owed;
    owed += share;
    return owed < before;
  }

  static constexpr uint64_t kMostAhead = 8 * kBurst;

  const Traffic& traffic_;
  const Source* other_ = nullptr;
  const std::vector<uint32_t> mine_;
  const FlowOwners owners_;
  const uint32_t index_;
  const uint32_t mask_;
  uint32_t state_ = 1;
  uint32_t next_fresh_;
  uint16_t identification_ = 0;
  uint32_t bursts_ = 0;
  uint32_t fresh_share_, answer_share_, fragment_share_;  // of 2^32
  uint32_t fresh_owed_ = 0, answers_owed_ = 0, fragments_owed_ = 0;
  Counts counts_;
  std::function<void()> watch_;
};

}  // namespace sluice
