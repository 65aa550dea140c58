// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "dataplane/runtime/captured_log.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/frame_size.h"
#include "dataplane/runtime/pci_device.h"
#include "dataplane/runtime/xdp_socket.h"
#include "dataplane/xdp/interface.h"

namespace sluice {
namespace {

// Many devices name the largest frame alone.
int MostMtu(const rte_eth_dev_info& info) {
  constexpr uint32_t kPlainHeaders = 14 + 4;
  if (info.max_mtu != UINT16_MAX) return info.max_mtu;
  return static_cast<int>(std::min<uint32_t>(info.max_rx_pktlen - kPlainHeaders, UINT16_MAX));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> Port::OpenDevice(const std::string& device, int queues, int mtu,
                                                       rte_mempool* pool) {
  std::unique_ptr<Port> port(new Port());
  port->mtu_ = mtu;
  const size_t comma = device.find(',');
  port->name_ = device.substr(0, comma);
  const std::string arguments = comma == std::string::npos ? "" : device.substr(comma + 1);
  const absl::Status added = port->AddDevice(port->name_, arguments, queues, pool);
  if (!added.ok()) return absl::Status(added.code(), absl::StrCat("device ", device, ": ", added.message()));
  return port;
}

absl::Status Port::AddDevice(const std::string& vdev_name, const std::string& arguments, int queues,
                             rte_mempool* pool) {
  CapturedLog log;
  uint16_t id;
  if (rte_eth_dev_get_port_by_name(vdev_name.c_str(), &id) != 0) {
    // A PCI device that the EAL could not take at its start is tried again, to hear why.
    const char* bus = PciAddress(vdev_name) ? "pci" : "vdev";
    if (const int error = rte_eal_hotplug_add(bus, vdev_name.c_str(), arguments.c_str()); error != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("DPDK cannot make it: ", log.Lines(), " (", rte_strerror(-error), ")"));
    }
    if (rte_eth_dev_get_port_by_name(vdev_name.c_str(), &id) != 0) {
      return absl::FailedPreconditionError(absl::StrCat(vdev_name, " is not a network device"));
    }
  }
  {
    const std::lock_guard lock(mutex_);
    dpdk_ports_.push_back(id);
    devices_.push_back(vdev_name);
  }
  rte_eth_dev_info info;
  const auto failed = [&](const char* what, int error) {
    return absl::FailedPreconditionError(
        absl::StrCat(vdev_name, ": ", what, ": ", log.Lines(), " (", rte_strerror(-error), ")"));
  };
  if (const int error = rte_eth_dev_info_get(id, &info); error != 0) return failed("no information", error);
  driver_ = info.driver_name;
  if (queues > info.max_rx_queues || queues > info.max_tx_queues) {
    return absl::InvalidArgumentError(
        absl::StrCat(vdev_name, " has ", std::min(info.max_rx_queues, info.max_tx_queues), " queues, ",
                     queues, " are needed, one for each worker: use fewer --workers"));
  }
  const absl::StatusOr<rte_eth_conf> configuration = ConfigurationOf(info, queues, pool);
  if (!configuration.ok()) return configuration.status();
  if (const int error = rte_eth_dev_configure(id, queues, queues, &*configuration); error != 0)
    return failed("cannot be configured", error);
  uint16_t receive_size = kQueueSize;
  uint16_t transmit_size = kQueueSize;
  rte_eth_dev_adjust_nb_rx_tx_desc(id, &receive_size, &transmit_size);
  for (uint16_t queue = 0; queue < queues; ++queue) {
    const std::set<int> before = shared_ ? XdpSockets() : std::set<int>();
    if (const int error = rte_eth_rx_queue_setup(id, queue, receive_size, SOCKET_ID_ANY, nullptr, pool);
        error != 0) {
      return failed("a receive queue cannot be set up; is another program using its AF_XDP queue?", error);
    }
    if (const int error = rte_eth_tx_queue_setup(id, queue, transmit_size, SOCKET_ID_ANY, nullptr);
        error != 0) {
      return failed("a transmit queue cannot be set up", error);
    }
    PortQueue added{.dpdk_port = id, .queue = queue};
    if (shared_) {
      for (const int fd : XdpSockets()) {
        if (!before.contains(fd)) added.socket = fd;
      }
      if (added.socket < 0)
        return absl::InternalError(absl::StrCat(vdev_name, ": the driver opened no AF_XDP socket"));
    }
    const std::lock_guard lock(mutex_);
    queues_.push_back(added);
  }
  if (const int error = StartDevice(id); error != 0) return failed("cannot be started", error);
  // IPv6 asks for neighbours by multicast, and routing daemons speak so. A device that cannot choose gets
  // all.
  if (!shared_) rte_eth_allmulticast_enable(id);
  rte_ether_addr mac;
  rte_eth_macaddr_get(id, &mac);
  const std::lock_guard lock(mutex_);
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), mac_.bytes.begin());
  return absl::OkStatus();
}

// The AF_XDP driver switches promiscuous mode off, and writes back all flags of the interface for that.
int Port::StartDevice(uint16_t id) {
  if (!shared_) return rte_eth_dev_start(id);
  const FlagsGuard guard(interface_index());
  return rte_eth_dev_start(id);
}

absl::StatusOr<rte_eth_conf> Port::ConfigurationOf(const rte_eth_dev_info& info, int queues,
                                                   rte_mempool* pool) {
  rte_eth_conf configuration{};
  if (shared_) {
    spreading_ = "by the interface's own hash";
    return configuration;
  }
  configuration.rxmode.offloads =
      info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_VLAN_FILTER);
  filters_vlans_ = (configuration.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0;
  constexpr uint64_t kByFlow = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;
  const uint64_t hashed = info.flow_type_rss_offloads & kByFlow;
  spreading_ = hashed != 0 ? "by a hash of addresses and ports" : "as the device likes, it cannot hash";
  if (queues == 1) {
    spreading_ = "one queue";
  } else if (hashed != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf = hashed;
  }
  if (mtu_ == kUsualMtu) return configuration;
  const int most = MostMtu(info);
  if (mtu_ > most || mtu_ < info.min_mtu) {
    return absl::InvalidArgumentError(
        absl::StrCat("--mtu ", mtu_, ": the device takes ", info.min_mtu, "..", most));
  }
  configuration.rxmode.mtu = static_cast<uint32_t>(mtu_);
  const int frame = mtu_ + kFrameHeaders;
  const int buffer = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
  if (frame <= buffer) return configuration;
  if ((info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) == 0 ||
      (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--mtu ", mtu_, ": the device cannot spread a packet over several buffers; at most ",
                     buffer - kFrameHeaders));
  }
  configuration.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
  configuration.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  return configuration;
}

Port::~Port() {
  for (const uint16_t id : dpdk_ports_) {
    rte_eth_dev_stop(id);
    if (!shared_) rte_eth_dev_close(id);
  }
  if (lock_ >= 0) close(lock_);
}

MacAddress Port::mac() const {
  const std::lock_guard lock(mutex_);
  return mac_;
}

std::vector<PortQueue> Port::queues() const {
  const std::lock_guard lock(mutex_);
  return queues_;
}

int Port::interface_index() const {
  const std::lock_guard lock(mutex_);
  return interface_index_;
}

uint64_t Port::lost_buffers() const {
  const std::lock_guard lock(mutex_);
  return lost_buffers_;
}

bool Port::LinkUp() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(dpdk_ports_.front(), &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

void Port::SetVlans(const std::vector<uint16_t>& vlans) {
  if (!filters_vlans_ || vlans == vlans_) return;
  for (const uint16_t vlan : vlans_) {
    if (!std::binary_search(vlans.begin(), vlans.end(), vlan))
      rte_eth_dev_vlan_filter(dpdk_ports_.front(), vlan, 0);
  }
  for (const uint16_t vlan : vlans) {
    if (!std::binary_search(vlans_.begin(), vlans_.end(), vlan))
      rte_eth_dev_vlan_filter(dpdk_ports_.front(), vlan, 1);
  }
  vlans_ = vlans;
}

uint64_t Port::Missed() const {
  const std::lock_guard lock(mutex_);
  uint64_t missed = earlier_missed_;
  for (const uint16_t id : dpdk_ports_) {
    rte_eth_stats statistics{};
    if (rte_eth_stats_get(id, &statistics) == 0) missed += statistics.imissed + statistics.rx_nombuf;
  }
  return missed;
}

std::vector<QueueCounts> Port::Counts() const {
  const std::lock_guard lock(mutex_);
  std::vector<QueueCounts> counts = earlier_counts_;
  counts.resize(std::max(counts.size(), queues_.size()));
  for (size_t i = 0; i < queues_.size(); ++i) {
    const PortQueue& queue = queues_[i];
    rte_eth_stats statistics{};
    const bool known =
        queue.queue < RTE_ETHDEV_QUEUE_STAT_CNTRS && rte_eth_stats_get(queue.dpdk_port, &statistics) == 0;
    if (!known) continue;
    counts[i].received_packets += statistics.q_ipackets[queue.queue];
    counts[i].received_bytes += statistics.q_ibytes[queue.queue];
    counts[i].sent_packets += statistics.q_opackets[queue.queue];
    counts[i].sent_bytes += statistics.q_obytes[queue.queue];
  }
  return counts;
}

}  // namespace sluice
