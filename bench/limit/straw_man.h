// The least that address translation over DPDK could do, in a loop of its own: it checks headers and the IPv4
// checksum, finds the flow in a table, rewrites, mends checksums, counts. No states, no timers, no ICMP, no
// fragments, no configuration. One family, as Address says; each worker has flows of its own. When its table
// is full the oldest flow makes room. What it reaches is the ceiling. `Table` is where flows are:
// bench/limit/own_table.h or rte_hash_table.h.
// Threads: as contender.h says.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "bench/forward/contender.h"
#include "bench/limit/flow_entry.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/flow_key.h"
#include "dataplane/net/headers.h"

namespace sluice {

template <template <class> class Table, class Address>
class StrawMan : public Contender {
 public:
  struct Setup {
    uint16_t receive = 0;  // DPDK ports with a queue for each worker
    uint16_t transmit = 0;
    int workers = 1;
    uint32_t capacity = 0;  // of each
    MacAddress source;
    MacAddress next_hop;
    IpAddress service;  // of answers that nobody has asked for
    Be16 service_port;
    IpAddress servers[3];
    Be16 server_port;
  };
  StrawMan(const char* name, const Setup& setup) : name_(name) {
    for (int i = 0; i < setup.workers; ++i) workers_.push_back(std::make_unique<Worker>(setup, i));
  }

  const char* name() const override { return name_; }
  void GetReady() override { stop_.store(false); }
  void Stop() override { stop_.store(true); }
  std::map<std::string, uint64_t> Counts() const override {
    std::map<std::string, uint64_t> counts;
    for (const auto& worker : workers_) worker->AddTo(counts);
    return counts;
  }
  void Run(int worker) override { workers_[static_cast<size_t>(worker)]->Run(stop_); }

 private:
  static constexpr int kAcross = 32;
  static constexpr bool kIsV6 = std::is_same_v<Address, Ipv6Address>;
  using Header = std::conditional_t<kIsV6, Ipv6Header, Ipv4Header>;
  using Name = FlowName<Address>;
  using Entry = FlowEntry<Address>;

  class alignas(64) Worker {
   public:
    Worker(const Setup& setup, int index) : setup_(setup), queue_(QueueOf(index)), table_(setup.capacity) {}

    void Run(const std::atomic<bool>& stop) {
      rte_mbuf* packets[kAcross];
      while (!stop.load(std::memory_order_relaxed)) {
        const uint16_t count = rte_eth_rx_burst(setup_.receive, queue_, packets, kAcross);
        if (count == 0) continue;
        ++round_;
        received_ += count;
        const uint16_t left = Forward(packets, count);
        const uint16_t sent = rte_eth_tx_burst(setup_.transmit, queue_, packets, left);
        sent_ += sent;
        if (sent < left) rte_pktmbuf_free_bulk(packets + sent, left - sent);
      }
    }
    void AddTo(std::map<std::string, uint64_t>& counts) const {
      counts["received"] += received_;
      counts["sent"] += sent_;
      counts["connections_created"] += created_;
    }

   private:
    // Packets that are not forwarded are freed; the others move up.
    uint16_t Forward(rte_mbuf** packets, uint16_t count) {
      Name names[kAcross];
      uint16_t sound = 0;
      for (uint16_t i = 0; i < count; ++i) {
        if (!Parse(*packets[i], names[sound])) {
          rte_pktmbuf_free(packets[i]);
          continue;
        }
        packets[sound++] = packets[i];
      }
      Entry* entries[kAcross];
      table_.Find(names, sound, entries);
      for (uint16_t i = 0; i < sound; ++i) {
        if (entries[i] == nullptr) entries[i] = Open(names[i]);
        Rewrite(*packets[i], *entries[i]);
      }
      return sound;
    }

    static bool Parse(const rte_mbuf& packet, Name& name) {
      constexpr uint32_t kLeast = sizeof(EthernetHeader) + sizeof(Header) + sizeof(UdpHeader);
      if (packet.data_len < kLeast) return false;
      const auto* ethernet = rte_pktmbuf_mtod(&packet, const EthernetHeader*);
      const auto& ip = *reinterpret_cast<const Header*>(ethernet + 1);
      if (ethernet->ether_type != EtherType() || !IsSound(ip, packet.data_len - sizeof *ethernet))
        return false;
      const auto& ports = *reinterpret_cast<const UdpHeader*>(&ip + 1);
      name = {ip.source, ip.destination, ports.source_port, ports.destination_port, ProtocolOf(ip)};
      return true;
    }

    static bool IsSound(const Ipv4Header& ip, size_t most) {
      if (ip.version_and_length != 0x45 || ip.total_length.ToHost() > most || ip.time_to_live <= 1)
        return false;
      uint32_t words[5];
      std::memcpy(words, &ip, sizeof words);
      uint64_t sum = 0;
      for (const uint32_t word : words) sum += word;
      return FoldSum(sum) == 0xffff;
    }
    static bool IsSound(const Ipv6Header& ip, size_t most) {
      return *reinterpret_cast<const uint8_t*>(&ip) >> 4 == 6 &&
             ip.payload_length.ToHost() + sizeof ip <= most && ip.hop_limit > 1;
    }
    static uint32_t ProtocolOf(const Ipv4Header& ip) { return ip.protocol; }
    static uint32_t ProtocolOf(const Ipv6Header& ip) { return ip.next_header; }
    static Be16 EtherType() { return kIsV6 ? kEtherTypeIpv6 : kEtherTypeIpv4; }
    static Address AddressOf(const IpAddress& address) {
      if constexpr (kIsV6) {
        return address.V6();
      } else {
        return address.V4();
      }
    }

    Entry* Open(const Name& name) {
      Entry& entry = *table_.Insert(name);
      entry.name = name;
      entry.to = name;
      const bool is_answer =
          std::any_of(std::begin(setup_.servers), std::end(setup_.servers),
                      [&](const IpAddress& each) { return AddressOf(each) == name.source; });
      if (is_answer) {
        entry.to.source = AddressOf(setup_.service);
        entry.to.source_port = setup_.service_port;
      } else {
        entry.to.destination = AddressOf(setup_.servers[created_ % 3]);
        entry.to.destination_port = setup_.server_port;
      }
      const uint64_t address_change = Change(&name.source, &entry.to.source, 2 * sizeof(Address));
      entry.address_delta = FoldSum(address_change);
      entry.transport_delta =
          FoldSum(address_change + Change(&name.source_port, &entry.to.source_port, 2 * sizeof(Be16)));
      entry.ethernet = {setup_.next_hop, setup_.source, EtherType()};
      entry.packets = 0;
      entry.bytes = 0;
      ++created_;
      return &entry;
    }
    // What to add to a sum when so many bytes change.
    static uint64_t Change(const void* before, const void* after, size_t size) {
      uint64_t sum = 0;
      for (size_t at = 0; at < size; at += sizeof(uint32_t)) {
        uint32_t words[2];
        std::memcpy(&words[0], static_cast<const char*>(before) + at, sizeof words[0]);
        std::memcpy(&words[1], static_cast<const char*>(after) + at, sizeof words[1]);
        sum += SumOfChange32(words[0], words[1]);
      }
      return sum;
    }

    static void TakeHop(Ipv4Header& ip, uint16_t address_delta) {
      --ip.time_to_live;
      const uint32_t sum = uint32_t{UpdateChecksum(ip.checksum, address_delta)} + Be16::FromHost(0x0100).raw;
      ip.checksum = static_cast<uint16_t>(sum + (sum >> 16));
    }
    static void TakeHop(Ipv6Header& ip, uint16_t) { --ip.hop_limit; }

    void Rewrite(rte_mbuf& packet, Entry& entry) {
      auto* ethernet = rte_pktmbuf_mtod(&packet, EthernetHeader*);
      auto& ip = *reinterpret_cast<Header*>(ethernet + 1);
      auto& udp = *reinterpret_cast<UdpHeader*>(&ip + 1);
      *ethernet = entry.ethernet;
      ip.source = entry.to.source;
      ip.destination = entry.to.destination;
      TakeHop(ip, entry.address_delta);
      udp.source_port = entry.to.source_port;
      udp.destination_port = entry.to.destination_port;
      if (entry.name.protocol == static_cast<uint8_t>(Protocol::kTcp)) {
        auto& tcp = *reinterpret_cast<TcpHeader*>(&udp);
        tcp.checksum = UpdateChecksum(tcp.checksum, entry.transport_delta);
      } else {
        const uint16_t checksum = UpdateChecksum(udp.checksum, entry.transport_delta);
        udp.checksum = checksum == 0 ? 0xffff : checksum;
      }
      ++entry.packets;
      entry.bytes += packet.pkt_len;
      entry.last_seen = round_;
    }

    const Setup setup_;
    const uint16_t queue_;
    Table<Address> table_;
    uint32_t round_ = 0;
    uint64_t received_ = 0;
    uint64_t sent_ = 0;
    uint64_t created_ = 0;
  };

  const char* name_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stop_{false};
};

}  // namespace sluice
