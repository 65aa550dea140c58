// The way into the kernel for packets that only a worker could tell from its own. As received: over a tap
// interface that has the port's MAC address. Rewritten, next hop unknown: over a raw socket, the kernel
// routes and resolves. A dedicated port's tap is its twin in the kernel: addresses, routes and ARP are
// configured there, and what the kernel sends over it goes out of the port.
// Each class of packets has a ring of its own; those that a flood cannot be made of are served first.
// Threads: workers call the Give functions; one thread of its own does the system calls, so that a worker
// makes none but to wake it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/ip_address.h"
#include "dataplane/net/mac_address.h"
#include "dataplane/pipeline/kernel_class.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace sluice {

class KernelPort {
 public:
  struct Twin {
    std::string tap_name;
    MacAddress mac;
    int mtu = 1500;
    bool dedicated = false;  // what the kernel sends over the tap goes out of the port
  };
  // `port_of_dpdk_port` maps mbuf->port to an index of `twins`.
  static absl::StatusOr<std::unique_ptr<KernelPort>> Open(const std::vector<Twin>& twins,
                                                          const std::vector<int>& port_of_dpdk_port,
                                                          rte_mempool* pool);
  ~KernelPort();

  // Both take all packets: what finds no room is freed. They return how many those were.
  int GiveInput(KernelClass kernel_class, rte_mbuf** packets, int count);
  int GiveOutput(rte_mbuf** packets, int count);
  // Packets of the kernel for dedicated port `port`; its one worker calls this.
  int TakeFromKernel(int port, rte_mbuf** packets, int limit);

  // Of a dedicated port's twin. Any thread.
  void SetCarrier(int port, bool is_up);

  int tap_interface_index(int port) const { return taps_[port].interface_index; }
  // Packets that the kernel would not take.
  uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  struct Tap {
    int fd = -1;
    int interface_index = 0;
    bool dedicated = false;
    size_t largest_frame = 0;
    rte_ring* from_kernel = nullptr;
  };

  KernelPort() = default;
  absl::Status OpenTap(const Twin& twin);
  int Give(rte_ring* ring, rte_mbuf** packets, int count);
  void Run();
  bool HasWork() const;
  void Serve();
  bool WriteInput(KernelClass kernel_class);
  bool Write(rte_mbuf& packet);
  bool SendOutput();
  bool SendRaw(const IpAddress& next_stop, bool is_v6, const void* bytes, size_t length);
  void ReadTap(Tap& tap);

  std::vector<Tap> taps_;  // by port
  std::vector<int> port_of_dpdk_port_;
  rte_mempool* pool_ = nullptr;
  int raw_socket_ = -1;
  int raw_socket_v6_ = -1;
  int wake_fd_ = -1;
  std::array<rte_ring*, kKernelClasses> input_{};
  rte_ring* output_ = nullptr;
  std::vector<uint8_t> frame_;  // the thread's
  std::atomic<bool> asleep_{false};
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> failures_{0};
  std::thread thread_;
};

}  // namespace sluice
