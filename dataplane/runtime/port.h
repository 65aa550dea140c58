// A port of the data path: an interface shared with the kernel over AF_XDP, or any other DPDK device. It has
// one or more queues, each a receive and a transmit queue of a DPDK port; one worker serves a queue.
// What a device can do for Sluice it does: check IPv4 header checksums, keep other VLANs out, spread packets
// over its queues, and take packets that are larger than a buffer. VLAN tags stay in the frame: whoever looks
// at a packet finds them there, and devices send faster what needs no inserting.
// Threads: the control thread
// opens and closes; queue q is used by the worker that serves it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/mac_address.h"

struct rte_eth_conf;
struct rte_eth_dev_info;
struct rte_mempool;

namespace sluice {

inline constexpr int kUsualMtu = 1500;

struct PortQueue {
  uint16_t dpdk_port = 0;
  uint16_t queue = 0;
  int socket = -1;  // AF_XDP: a worker may sleep on it
};

struct QueueCounts;

class Port {
 public:
  // An interface of the kernel; its queues all get sockets. `stub_program` as Steering gives it.
  static absl::StatusOr<std::unique_ptr<Port>> OpenInterface(const std::string& interface,
                                                             const std::string& stub_program,
                                                             rte_mempool* pool);
  // A DPDK vdev string, "net_tap0,iface=x", or the name of a device that EAL knows already, as a PCI address.
  static absl::StatusOr<std::unique_ptr<Port>> OpenDevice(const std::string& device, int queues, int mtu,
                                                          rte_mempool* pool);
  ~Port();

  const std::string& name() const { return name_; }
  const std::string& driver() const { return driver_; }
  // How packets come to its queues, in words.
  const std::string& spreading() const { return spreading_; }
  const MacAddress& mac() const { return mac_; }
  const std::vector<PortQueue>& queues() const { return queues_; }
  bool is_shared() const { return shared_; }
  int mtu() const { return mtu_; }
  bool LinkUp() const;
  // The VLANs that the host is in, sorted; a device that can tells them from others.
  void SetVlans(const std::vector<uint16_t>& vlans);
  // Packets that came and found no room: the queue was full, or no buffer was left.
  uint64_t Missed() const;
  // By queue.
  std::vector<QueueCounts> Counts() const;

 private:
  Port() = default;
  absl::Status AddDevice(const std::string& vdev_name, const std::string& arguments, int queues,
                         rte_mempool* pool);
  absl::StatusOr<rte_eth_conf> ConfigurationOf(const rte_eth_dev_info& info, int queues, rte_mempool* pool);

  std::string name_;
  std::string driver_;
  std::string spreading_;
  MacAddress mac_;
  bool shared_ = false;
  int mtu_ = kUsualMtu;
  std::vector<PortQueue> queues_;
  std::vector<uint16_t> dpdk_ports_;
  bool filters_vlans_ = false;
  std::vector<uint16_t> vlans_;
  int lock_ = -1;  // one sluiced an interface
};

// How many receive queues an Ethernet interface has now; an error if there is no such interface.
absl::StatusOr<int> InterfaceQueues(const std::string& interface);

}  // namespace sluice
