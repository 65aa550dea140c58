// Source and sink of packets in memory, on the core of the worker: 64-byte frames (60 without the check
// sum) of N flows in an order without pattern. What it costs is measured alone, and subtracted.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

class MemoryTraffic {
 public:
  struct Options {
    Protocol protocol = Protocol::kUdp;
    uint32_t flows = 1;     // a power of two
    uint32_t services = 1;  // flow i belongs to service i % services
  };
  MemoryTraffic(rte_mempool* pool, const Options& options);

  // Flow i comes from 11.x.y.z (its upper bits) and port 1024 + its lower bits, to service i % services.
  static Be32 ClientOf(uint32_t flow) { return Be32::FromHost(0x0b000000 + (flow >> 12)); }
  static Be16 ClientPortOf(uint32_t flow) {
    return Be16::FromHost(static_cast<uint16_t>(1024 + (flow & 0xfff)));
  }
  static Be32 ServiceOf(uint32_t service) { return Be32::FromHost(0x0a630000 + service); }
  static constexpr Be16 kServicePort = Be16::FromHost(80);

  // A burst of the next 32 flows.
  void Fill(Batch& batch, uint8_t tcp_flags = kTcpAck) {
    rte_pktmbuf_alloc_bulk(pool_, batch.packet, kBurst);
    batch.count = kBurst;
    for (int lane = 0; lane < kBurst; ++lane) {
      Write(batch.packet[lane], Next(), tcp_flags);
    }
  }
  // Flows first, first + 1 ... in order: for opening them.
  void FillInOrder(Batch& batch, uint32_t first, uint8_t tcp_flags) {
    rte_pktmbuf_alloc_bulk(pool_, batch.packet, kBurst);
    batch.count = kBurst;
    for (int lane = 0; lane < kBurst; ++lane) Write(batch.packet[lane], (first + lane) & mask_, tcp_flags);
  }

  // Frees what a burst left in the worker's output; returns how many packets went out on a wire.
  static int Sink(Output& output);

 private:
  // Every flow once in a period, neighbours far apart.
  uint32_t Next() {
    state_ = (state_ * 0x5851f42du + 0x14057b7fu) & mask_;
    return state_;
  }
  void Write(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) {
    uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
    std::memcpy(frame, template_, 64);
    packet->data_len = 60;
    packet->pkt_len = 60;
    packet->port = 0;
    auto& ip = *reinterpret_cast<Ipv4Header*>(frame + sizeof(EthernetHeader));
    ip.source = ClientOf(flow);
    const uint32_t service = services_ == 1 ? 0 : flow % services_;
    ip.destination = ServiceOf(service);
    ip.checksum =
        static_cast<uint16_t>(~FoldSum(uint64_t{template_sum_} + ip.source.raw + ip.destination.raw));
    uint8_t* transport = frame + sizeof(EthernetHeader) + sizeof(Ipv4Header);
    const Be16 port = ClientPortOf(flow);
    std::memcpy(transport, &port, 2);
    if (is_tcp_) reinterpret_cast<TcpHeader*>(transport)->flags = tcp_flags;
  }

  rte_mempool* pool_;
  uint32_t mask_;
  uint32_t services_;
  bool is_tcp_;
  uint32_t state_ = 1;
  uint32_t template_sum_ = 0;
  alignas(64) uint8_t template_[64] = {};
};

}  // namespace sluice
