// A port that is an interface of the kernel: DPDK's AF_XDP driver on it, taken at the start and again when an
// interface of its name comes back.
// SPDX-License-Identifier: Apache-2.0
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "dataplane/runtime/captured_log.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/frame_size.h"
#include "dataplane/runtime/port.h"
#include "dataplane/runtime/xdp_socket.h"
#include "dataplane/xdp/attachment.h"
#include "dataplane/xdp/interface.h"

namespace sluice {
namespace {

// A question to the kernel about an interface; 0, or the error's number.
int AskInterface(const std::string& interface, unsigned long question, ifreq& request) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  const int error = ioctl(fd, question, &request) == 0 ? 0 : errno;
  close(fd);
  return error;
}

absl::StatusOr<ethtool_channels> Channels(const std::string& interface) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  request.ifr_data = reinterpret_cast<char*>(&channels);
  const int error = AskInterface(interface, SIOCETHTOOL, request);
  if (error != 0 && error != EOPNOTSUPP)
    return absl::ErrnoToStatus(error, absl::StrCat("interface ", interface, ": queues cannot be read"));
  return channels;
}

// A packet over AF_XDP is in one buffer, behind the room that XDP keeps for itself.
absl::Status CheckMtu(const std::string& interface, rte_mempool* pool) {
  constexpr int kRoomOfXdp = 256;
  const int most = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM - kRoomOfXdp - kFrameHeaders;
  ifreq request{};
  if (AskInterface(interface, SIOCGIFMTU, request) != 0 || request.ifr_mtu <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "interface ", interface, " has MTU ", request.ifr_mtu, ", and a packet shared over AF_XDP may have ",
      most, ": `ip link set ", interface, " mtu 1500`, or give Sluice the whole device (--port, --mtu)"));
}

// An abstract socket of this name exists, in this network namespace, as long as its process. By index: names
// change.
absl::StatusOr<int> LockInterface(const InterfaceState& interface) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = absl::StrCat("sluice/interface/", interface.index);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), offsetof(sockaddr_un, sun_path) + 1 + name.size()) == 0)
    return fd;
  close(fd);
  return absl::AlreadyExistsError(
      absl::StrCat("interface ", interface.name, " is served by another sluiced: stop that one first"));
}

// The driver forgets the descriptors of the program that it loads, and does not need them again.
class BpfFilesOfDriver {
 public:
  BpfFilesOfDriver() : before_(BpfFiles()) {}
  ~BpfFilesOfDriver() {
    for (const int fd : BpfFiles()) {
      if (!before_.contains(fd)) close(fd);
    }
  }

 private:
  const std::set<int> before_;
};

}  // namespace

absl::StatusOr<int> InterfaceQueues(const std::string& interface) {
  if (if_nametoindex(interface.c_str()) == 0) {
    return absl::NotFoundError(absl::StrCat("interface ", interface, " does not exist: see `ip link`"));
  }
  ifreq request{};
  if (AskInterface(interface, SIOCGIFHWADDR, request) != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return absl::InvalidArgumentError(absl::StrCat("interface ", interface, " is not an Ethernet interface"));
  }
  const absl::StatusOr<ethtool_channels> channels = Channels(interface);
  if (!channels.ok()) return channels.status();
  return std::max<int>(1, static_cast<int>(channels->combined_count + channels->rx_count));
}

absl::StatusOr<std::unique_ptr<Port>> Port::OpenInterface(const std::string& interface,
                                                          const std::string& stub_program,
                                                          rte_mempool* pool) {
  std::unique_ptr<Port> port(new Port());
  port->name_ = interface;
  port->shared_ = true;
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  if (const absl::Status taken = port->TakeInterface(stub_program, pool); !taken.ok()) return taken;
  return port;
}

absl::Status Port::TakeInterface(const std::string& stub_program, rte_mempool* pool) {
  const absl::StatusOr<int> queues = InterfaceQueues(name_);
  if (!queues.ok()) return queues.status();
  if (const absl::Status fits = CheckMtu(name_, pool); !fits.ok()) return fits;
  const absl::StatusOr<InterfaceState> interface = FindInterface(name_);
  if (!interface.ok()) return interface.status();
  if (lock_ >= 0) close(lock_);
  lock_ = -1;
  const absl::StatusOr<int> lock = LockInterface(*interface);
  if (!lock.ok()) return lock.status();
  lock_ = *lock;
  {
    const std::lock_guard guard(mutex_);
    interface_index_ = interface->index;
  }

  // A program that a killed sluiced left behind would keep the driver from setting up. Until Attach, all
  // traffic is the kernel's.
  if (const absl::Status removed = RemoveLeftover(*interface); !removed.ok()) return removed;
  // The driver gives one device several queues only if the interface has combined ones.
  const absl::StatusOr<ethtool_channels> channels = Channels(name_);
  if (!channels.ok()) return channels.status();
  const bool one_device = static_cast<int>(channels->combined_count) >= *queues;
  const int devices = one_device ? 1 : *queues;
  const BpfFilesOfDriver files;
  for (int i = 0; i < devices; ++i) {
    const absl::Status added =
        AddDevice(absl::StrCat("net_af_xdp_", name_, "_", i),
                  absl::StrCat("iface=", name_, ",start_queue=", i, ",queue_count=", one_device ? *queues : 1,
                               ",xdp_prog=", stub_program),
                  one_device ? *queues : 1, pool);
    // The stub of one device would be in the way of the next.
    const absl::StatusOr<InterfaceState> now = ReadInterface(interface->index);
    const absl::Status removed = now.ok() ? RemoveLeftover(*now) : now.status();
    if (!added.ok())
      return absl::Status(added.code(), absl::StrCat("interface ", name_, ": ", added.message()));
    if (!removed.ok()) return removed;
  }
  return absl::OkStatus();
}

// Whoever maps a packet to its port knows devices by their numbers, so these must be the same again. They
// are, for DPDK gives the lowest that are free, and the old ones become free just before.
absl::Status Port::Reopen(const std::string& stub_program, rte_mempool* pool) {
  if (numbers_.empty()) {
    numbers_ = dpdk_ports_;
    queue_count_ = queues_.size();
  }
  const absl::StatusOr<int> queues = InterfaceQueues(name_);
  if (!queues.ok()) return queues.status();
  if (static_cast<size_t>(*queues) != queue_count_) {
    return absl::FailedPreconditionError(absl::StrCat("interface ", name_, " has come back with ", *queues,
                                                      " queues, and Sluice has had ", queue_count_,
                                                      ": make it with as many, or start sluiced anew"));
  }
  if (lost_buffers_ > pool->size / 4)
    return absl::ResourceExhaustedError(
        absl::StrCat("interface ", name_, ": ", lost_buffers_,
                     " packet buffers did not come back from earlier ones, and "
                     "too few are left: start sluiced anew"));
  if (const absl::Status closed = CloseDevices(pool); !closed.ok()) return closed;
  if (const absl::Status taken = TakeInterface(stub_program, pool); !taken.ok()) return taken;
  if (dpdk_ports_ == numbers_) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("interface ", name_, ": DPDK has given its devices other numbers"));
}

// The driver takes away whichever program the interface has: that must be nobody else's.
absl::Status Port::CloseDevices(rte_mempool* pool) {
  const absl::StatusOr<InterfaceState> still = ReadInterface(interface_index_);
  if (!still.ok() && !absl::IsNotFound(still.status())) return still.status();
  if (const absl::Status free = still.ok() ? RemoveLeftover(*still) : absl::OkStatus(); !free.ok())
    return free;
  std::vector<rte_mbuf*> buffers;
  std::set<int> sockets;
  for (const PortQueue& queue : queues_) {
    const std::vector<rte_mbuf*> of_queue = BuffersInRings(queue.socket, pool);
    buffers.insert(buffers.end(), of_queue.begin(), of_queue.end());
    sockets.insert(queue.socket);
  }
  const std::vector<QueueCounts> counts = Counts();
  const uint64_t missed = Missed();
  CapturedLog log;  // that there is no program to take away is as it should be
  {
    const std::lock_guard lock(mutex_);
    earlier_counts_ = counts;
    earlier_missed_ = missed;
    const uint64_t owed = queues_.size() * kQueueSize;
    if (buffers.size() < owed) lost_buffers_ += owed - buffers.size();
    queues_.clear();
    for (const uint16_t id : dpdk_ports_) rte_eth_dev_stop(id);
    dpdk_ports_.clear();
  }
  for (const std::string& device : devices_) rte_eal_hotplug_remove("vdev", device.c_str());
  devices_.clear();
  // libxdp 1.3 forgets the one that memory was registered with.
  for (const int fd : XdpSockets()) {
    if (sockets.contains(fd)) close(fd);
  }
  for (rte_mbuf* buffer : buffers) rte_pktmbuf_free(buffer);
  return absl::OkStatus();
}

}  // namespace sluice
