// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/port.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "dataplane/runtime/captured_log.h"
#include "dataplane/runtime/dataplane.h"
#include "dataplane/runtime/pci_device.h"
#include "dataplane/xdp/steering.h"

namespace sluice {
namespace {

constexpr uint16_t kQueueSize = 2048;           // what the AF_XDP driver has as its default
constexpr int kFrameHeaders = 14 + 2 * 4 + 4;  // Ethernet with two tags, and its check sequence

// Many devices name the largest frame alone.
int MostMtu(const rte_eth_dev_info& info) {
  constexpr uint32_t kPlainHeaders = 14 + 4;
  if (info.max_mtu != UINT16_MAX) return info.max_mtu;
  return static_cast<int>(std::min<uint32_t>(info.max_rx_pktlen - kPlainHeaders, UINT16_MAX));
}

// Descriptors of this process that are AF_XDP sockets.
std::set<int> XdpSockets() {
  std::set<int> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    int fd = -1;
    int domain = 0;
    socklen_t length = sizeof domain;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &fd)) continue;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_XDP) sockets.insert(fd);
  }
  return sockets;
}

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

// An abstract socket of this name exists, in this network namespace, as long as its process.
absl::StatusOr<int> LockInterface(const std::string& interface) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "sluice/interface/" + interface;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), offsetof(sockaddr_un, sun_path) + 1 + name.size()) == 0)
    return fd;
  close(fd);
  return absl::AlreadyExistsError(
      absl::StrCat("interface ", interface, " is served by another sluiced: stop that one first"));
}

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
  const absl::StatusOr<int> queues = InterfaceQueues(interface);
  if (!queues.ok()) return queues.status();
  if (const absl::Status fits = CheckMtu(interface, pool); !fits.ok()) return fits;
  const absl::StatusOr<int> lock = LockInterface(interface);
  if (!lock.ok()) return lock.status();
  port->lock_ = *lock;
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);

  // What a killed sluiced left behind would keep the driver from setting up. Until Attach, all traffic is the
  // kernel's.
  if (const absl::Status removed = Steering::RemoveLeftover(interface); !removed.ok()) return removed;
  // The driver gives one device several queues only if the interface has combined ones.
  const absl::StatusOr<ethtool_channels> channels = Channels(interface);
  if (!channels.ok()) return channels.status();
  const bool one_device = static_cast<int>(channels->combined_count) >= *queues;
  const int devices = one_device ? 1 : *queues;
  for (int i = 0; i < devices; ++i) {
    const absl::Status added =
        port->AddDevice(absl::StrCat("net_af_xdp_", interface, "_", i),
                        absl::StrCat("iface=", interface, ",start_queue=", i,
                                     ",queue_count=", one_device ? *queues : 1, ",xdp_prog=", stub_program),
                        one_device ? *queues : 1, pool);
    if (!added.ok())
      return absl::Status(added.code(), absl::StrCat("interface ", interface, ": ", added.message()));
    // The stub of one device would be in the way of the next.
    if (const absl::Status removed = Steering::RemoveLeftover(interface); !removed.ok()) return removed;
  }
  return port;
}

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
  dpdk_ports_.push_back(id);
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
    queues_.push_back(added);
  }
  if (const int error = rte_eth_dev_start(id); error != 0) return failed("cannot be started", error);
  // IPv6 asks for neighbours by multicast, and routing daemons speak so. A device that cannot choose gets
  // all.
  if (!shared_) rte_eth_allmulticast_enable(id);
  rte_ether_addr mac;
  rte_eth_macaddr_get(id, &mac);
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), mac_.bytes.begin());
  return absl::OkStatus();
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
    rte_eth_dev_close(id);
  }
  if (lock_ >= 0) close(lock_);
}

bool Port::LinkUp() const {
  if (shared_) {  // the AF_XDP driver does not know
    ifreq request{};
    return AskInterface(name_, SIOCGIFFLAGS, request) == 0 &&
           (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
  }
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
  uint64_t missed = 0;
  for (const uint16_t id : dpdk_ports_) {
    rte_eth_stats statistics{};
    if (rte_eth_stats_get(id, &statistics) == 0) missed += statistics.imissed + statistics.rx_nombuf;
  }
  return missed;
}

std::vector<QueueCounts> Port::Counts() const {
  std::vector<QueueCounts> counts;
  for (const PortQueue& queue : queues_) {
    rte_eth_stats statistics{};
    const bool known =
        queue.queue < RTE_ETHDEV_QUEUE_STAT_CNTRS && rte_eth_stats_get(queue.dpdk_port, &statistics) == 0;
    counts.push_back({});
    if (!known) continue;
    counts.back() = {.received_packets = statistics.q_ipackets[queue.queue],
                     .received_bytes = statistics.q_ibytes[queue.queue],
                     .sent_packets = statistics.q_opackets[queue.queue],
                     .sent_bytes = statistics.q_obytes[queue.queue]};
  }
  return counts;
}

}  // namespace sluice
