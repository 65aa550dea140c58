// The least that address translation over DPDK could do, in a loop of its own: it checks headers and the IPv4
// checksum, finds the flow in a table, rewrites, mends checksums, counts. No states, no timers, no ICMP, no
// fragments, no configuration. IPv4 only. When its table is full the oldest flow makes room. What it reaches
// is the ceiling. `Table` is where flows are: bench/limit/own_table.h or rte_hash_table.h.
// Threads: one
// worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <atomic>
#include <cstring>

#include "bench/forward/contender.h"
#include "bench/limit/flow_entry.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/runtime/port.h"

namespace sluice {

template <class Table>
class StrawMan : public Contender {
 public:
  struct Setup {
    PortQueue receive;
    PortQueue transmit;
    uint32_t capacity = 0;
    MacAddress source;
    MacAddress next_hop;
    Be32 servers[3];
    Be16 server_port;
  };
  StrawMan(const char* name, const Setup& setup) : name_(name), setup_(setup), table_(setup.capacity) {}

  const char* name() const override { return name_; }
  void GetReady() override { stop_.store(false); }
  void Stop() override { stop_.store(true); }
  std::map<std::string, uint64_t> Counts() const override {
    return {{"received", received_}, {"sent", sent_}, {"connections_created", created_}};
  }

  void Run(int) override {
    rte_mbuf* packets[kAcross];
    while (!stop_.load(std::memory_order_relaxed)) {
      const uint16_t count =
          rte_eth_rx_burst(setup_.receive.dpdk_port, setup_.receive.queue, packets, kAcross);
      if (count == 0) continue;
      ++round_;
      received_ += count;
      const uint16_t left = Forward(packets, count);
      const uint16_t sent = rte_eth_tx_burst(setup_.transmit.dpdk_port, setup_.transmit.queue, packets, left);
      sent_ += sent;
      if (sent < left) rte_pktmbuf_free_bulk(packets + sent, left - sent);
    }
  }

 private:
  static constexpr int kAcross = 32;

  // Packets that are not forwarded are freed; the others move up.
  uint16_t Forward(rte_mbuf** packets, uint16_t count) {
    FlowName names[kAcross];
    uint16_t sound = 0;
    for (uint16_t i = 0; i < count; ++i) {
      if (!Parse(*packets[i], names[sound])) {
        rte_pktmbuf_free(packets[i]);
        continue;
      }
      packets[sound++] = packets[i];
    }
    FlowEntry* entries[kAcross];
    table_.Find(names, sound, entries);
    for (uint16_t i = 0; i < sound; ++i) {
      if (entries[i] == nullptr) entries[i] = Open(names[i]);
      Rewrite(*packets[i], *entries[i]);
    }
    return sound;
  }

  static bool Parse(const rte_mbuf& packet, FlowName& name) {
    constexpr uint32_t kLeast = sizeof(EthernetHeader) + sizeof(Ipv4Header) + sizeof(UdpHeader);
    if (packet.data_len < kLeast) return false;
    const auto* ethernet = rte_pktmbuf_mtod(&packet, const EthernetHeader*);
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(ethernet + 1);
    if (ethernet->ether_type != kEtherTypeIpv4 || ip.version_and_length != 0x45) return false;
    if (ip.total_length.ToHost() + sizeof(EthernetHeader) > packet.data_len || ip.time_to_live <= 1)
      return false;
    uint32_t words[5];
    std::memcpy(words, &ip, sizeof words);
    uint64_t sum = 0;
    for (const uint32_t word : words) sum += word;
    if (FoldSum(sum) != 0xffff) return false;
    const auto& ports = *reinterpret_cast<const UdpHeader*>(&ip + 1);
    name = {ip.source, ip.destination, ports.source_port, ports.destination_port, ip.protocol};
    return true;
  }

  FlowEntry* Open(const FlowName& name) {
    FlowEntry& entry = *table_.Insert(name);
    entry.name = name;
    entry.to = {name.source, setup_.servers[created_ % 3], name.source_port, setup_.server_port,
                name.protocol};
    const uint64_t address_change = SumOfChange32(name.destination.raw, entry.to.destination.raw);
    entry.address_delta = FoldSum(address_change);
    entry.transport_delta =
        FoldSum(address_change + SumOfChange16(name.destination_port.raw, entry.to.destination_port.raw));
    entry.ethernet = {setup_.next_hop, setup_.source, kEtherTypeIpv4};
    entry.packets = 0;
    entry.bytes = 0;
    ++created_;
    return &entry;
  }

  void Rewrite(rte_mbuf& packet, FlowEntry& entry) {
    auto* ethernet = rte_pktmbuf_mtod(&packet, EthernetHeader*);
    auto& ip = *reinterpret_cast<Ipv4Header*>(ethernet + 1);
    auto& udp = *reinterpret_cast<UdpHeader*>(&ip + 1);
    *ethernet = entry.ethernet;
    ip.destination = entry.to.destination;
    --ip.time_to_live;
    const uint32_t sum =
        uint32_t{UpdateChecksum(ip.checksum, entry.address_delta)} + Be16::FromHost(0x0100).raw;
    ip.checksum = static_cast<uint16_t>(sum + (sum >> 16));
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

  const char* name_;
  const Setup setup_;
  Table table_;
  std::atomic<bool> stop_{false};
  uint32_t round_ = 0;
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  uint64_t created_ = 0;
};

}  // namespace sluice
