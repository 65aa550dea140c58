// A port of the data path: an interface shared with the kernel over AF_XDP, or any other DPDK device. It has
// one or more queues, each a receive and a transmit queue of a DPDK port; one worker serves a queue.
// What a device can do for Sluice it does: check IPv4 header checksums, keep other VLANs out, spread packets
// over its queues, and take packets that are larger than a buffer. VLAN tags stay in the frame: whoever looks
// at a packet finds them there, and devices send faster what needs no inserting.
// Threads: opened by the control thread; after that one thread closes it and opens it again, when no worker
// has its queues; queue q is used by the worker that serves it; counts may be asked for by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
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

inline constexpr uint16_t kNoDevice = 0xffff;

struct PortQueue {
  uint16_t dpdk_port = 0;  // kNoDevice: there is none now
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
  // A shared interface's device stays open, for the driver would take away whichever XDP program the
  // interface has by then; the end of the process closes its sockets.
  ~Port();

  // The interface has gone; opens the one that has its name now, with as many queues.
  absl::Status Reopen(const std::string& stub_program, rte_mempool* pool);

  const std::string& name() const { return name_; }  // as it was configured
  const std::string& driver() const { return driver_; }
  // How packets come to its queues, in words.
  const std::string& spreading() const { return spreading_; }
  MacAddress mac() const;                 // at the opening
  std::vector<PortQueue> queues() const;  // now
  int interface_index() const;            // of a shared one, at the opening
  bool is_shared() const { return shared_; }
  int mtu() const { return mtu_; }
  // REQUIRES: the port is a dedicated one.
  bool LinkUp() const;
  // The VLANs that the host is in, sorted; a device that can tells them from others.
  void SetVlans(const std::vector<uint16_t>& vlans);
  // Packets that came and found no room: the queue was full, or no buffer was left.
  uint64_t Missed() const;
  // By queue.
  std::vector<QueueCounts> Counts() const;
  // Buffers that could not be had back from interfaces that went.
  uint64_t lost_buffers() const;

 private:
  Port() = default;
  absl::Status TakeInterface(const std::string& stub_program, rte_mempool* pool);
  absl::Status CloseDevices(rte_mempool* pool);
  absl::Status AddDevice(const std::string& vdev_name, const std::string& arguments, int queues,
                         rte_mempool* pool);
  int StartDevice(uint16_t id);
  absl::StatusOr<rte_eth_conf> ConfigurationOf(const rte_eth_dev_info& info, int queues, rte_mempool* pool);

  std::string name_;
  std::string driver_;
  std::string spreading_;
  bool shared_ = false;
  int mtu_ = kUsualMtu;
  bool filters_vlans_ = false;
  std::vector<uint16_t> vlans_;
  int lock_ = -1;  // one sluiced an interface
  // Devices and queues at the first opening: they must be so again.
  std::vector<uint16_t> numbers_;
  size_t queue_count_ = 0;

  mutable std::mutex mutex_;  // of what is next
  MacAddress mac_;
  int interface_index_ = 0;
  std::vector<PortQueue> queues_;
  std::vector<uint16_t> dpdk_ports_;
  std::vector<std::string> devices_;  // what DPDK calls them
  // Counts of devices that were closed.
  uint64_t earlier_missed_ = 0;
  std::vector<QueueCounts> earlier_counts_;
  uint64_t lost_buffers_ = 0;
};

// How many receive queues an Ethernet interface has now; an error if there is no such interface.
absl::StatusOr<int> InterfaceQueues(const std::string& interface);

}  // namespace sluice
