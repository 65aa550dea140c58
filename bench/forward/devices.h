// Two devices of DPDK's that give empty buffers and take what is sent, with a queue for each worker. What is
// received is written by the worker's source.
// Threads: opened by the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_dev.h>
#include <rte_ethdev.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/forward/contender.h"
#include "bench/forward/referee.h"
#include "bench/forward/traffic.h"
#include "dataplane/runtime/packet_pool.h"

namespace sluice {

class Devices {
 public:
  bool Open(int workers) {
    std::string error;
    const absl::StatusOr<rte_mempool*> pool = CreatePacketPool("bench", 16384, false);
    if (!pool.ok()) return false;
    pool_ = *pool;
    sources_.resize(static_cast<size_t>(workers));
    for (int i = 0; i < 2; ++i) {
      const std::string name = absl::StrCat("net_null", i);
      rte_eal_hotplug_add("vdev", name.c_str(), "size=60,copy=0");
      if (rte_eth_dev_get_port_by_name(name.c_str(), &ports_[i]) != 0) return false;
      const rte_eth_conf configuration{};
      const auto queues = static_cast<uint16_t>(QueueOf(workers - 1) + 1);
      rte_eth_dev_configure(ports_[i], queues, queues, &configuration);
      for (uint16_t queue = 0; queue < queues; ++queue) {
        rte_eth_rx_queue_setup(ports_[i], queue, 512, SOCKET_ID_ANY, nullptr, pool_);
        rte_eth_tx_queue_setup(ports_[i], queue, 512, SOCKET_ID_ANY, nullptr);
      }
      if (rte_eth_dev_start(ports_[i]) != 0) return false;
    }
    const auto write = [](uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, uint16_t, void* to) {
      Source& source = **static_cast<Source**>(to);
      if (source.IsAhead()) {
        rte_pktmbuf_free_bulk(packets, count);
        return uint16_t{0};
      }
      const uint16_t offered = source.Offers(count);
      if (offered < count) rte_pktmbuf_free(packets[offered]);
      source.Write(packets, offered);
      return offered;
    };
    const auto look = [](uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, void* devices) {
      if (Referee* referee = static_cast<Devices*>(devices)->referee_) referee->Look(packets, count);
      return count;
    };
    for (int worker = 0; worker < workers; ++worker) {
      rte_eth_add_rx_callback(receive(), QueueOf(worker), write, &sources_[static_cast<size_t>(worker)]);
      rte_eth_add_tx_callback(transmit(), QueueOf(worker), look, this);
    }
    return true;
  }
  // Between turns.
  void Feed(Source& source, size_t worker) { sources_[worker] = &source; }
  // nullptr: nobody looks at what is sent.
  void Show(Referee* referee) { referee_ = referee; }
  uint16_t receive() const { return ports_[0]; }
  uint16_t transmit() const { return ports_[1]; }
  rte_mempool* pool() const { return pool_; }

 private:
  rte_mempool* pool_ = nullptr;
  uint16_t ports_[2] = {};
  std::vector<Source*> sources_;  // by worker
  Referee* referee_ = nullptr;
};

}  // namespace sluice
