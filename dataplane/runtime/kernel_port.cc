// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/kernel_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "dataplane/pipeline/frame.h"

namespace sluice {
namespace {

constexpr unsigned kKernelRingSize = 1024;
constexpr int kChunk = 32;
// Turns of other classes than neighbours and routing before the taps are read.
constexpr int kTurns = 4;
// Parts of 2 KiB each, a buffer or what is left of one without its tag: a packet of 64 KiB.
constexpr int kMostParts = 40;
constexpr uint32_t kLargestPacket = UINT16_MAX + sizeof(Ipv6Header);
constexpr size_t kLargestTag = sizeof(VlanTag);

// A value under /proc/sys/net for one interface; kernels without it have nothing to switch off.
void SetInterfaceOption(const char* family, const std::string& interface, const char* option,
                        const char* value) {
  std::ofstream(absl::StrCat("/proc/sys/net/", family, "/conf/", interface, "/", option)) << value;
}

bool IsTagged(const rte_mbuf& packet) {
  return packet.data_len >= sizeof(EthernetHeader) + sizeof(VlanTag) &&
         rte_pktmbuf_mtod(&packet, const EthernetHeader*)->ether_type == kEtherTypeVlan;
}

uint32_t IpLength(const uint8_t* ip) {
  return IsV6Header(ip)
             ? reinterpret_cast<const Ipv6Header*>(ip)->payload_length.ToHost() + sizeof(Ipv6Header)
             : reinterpret_cast<const Ipv4Header*>(ip)->total_length.ToHost();
}

// In as many buffers as it takes; nullptr: there are not so many.
rte_mbuf* Buffered(rte_mempool* pool, const uint8_t* frame, size_t length) {
  rte_mbuf* packet = rte_pktmbuf_alloc(pool);
  rte_mbuf* last = packet;
  for (size_t at = 0; last != nullptr;) {
    const auto here = static_cast<uint16_t>(std::min<size_t>(length - at, rte_pktmbuf_tailroom(last)));
    std::memcpy(rte_pktmbuf_mtod(last, char*), frame + at, here);
    last->data_len = here;
    at += here;
    if (at == length) {
      packet->pkt_len = static_cast<uint32_t>(length);
      return packet;
    }
    last->next = rte_pktmbuf_alloc(pool);
    last = last->next;
    ++packet->nb_segs;
  }
  rte_pktmbuf_free(packet);
  return nullptr;
}

absl::Status SetUp(const std::string& name, const MacAddress& mac, int mtu, bool arp) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::copy(mac.bytes.begin(), mac.bytes.end(), request.ifr_hwaddr.sa_data);
  bool done = ioctl(fd, SIOCSIFHWADDR, &request) == 0;
  request.ifr_mtu = mtu;
  done = done && ioctl(fd, SIOCSIFMTU, &request) == 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  if (done) {
    request.ifr_flags |= IFF_UP;
    if (!arp) request.ifr_flags |= IFF_NOARP;
    done = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  }
  const int error = errno;
  close(fd);
  return done ? absl::OkStatus()
              : absl::ErrnoToStatus(error, absl::StrCat("tap interface ", name, " cannot be set up"));
}

// With the packets in it.
void FreeRing(rte_ring* ring) {
  void* packet;
  while (ring != nullptr && rte_ring_dequeue(ring, &packet) == 0)
    rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  rte_ring_free(ring);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelPort>> KernelPort::Open(const std::vector<Twin>& twins,
                                                             const std::vector<int>& port_of_dpdk_port,
                                                             rte_mempool* pool) {
  std::unique_ptr<KernelPort> port(new KernelPort());
  port->port_of_dpdk_port_ = port_of_dpdk_port;
  port->pool_ = pool;
  port->raw_socket_ = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  if (port->raw_socket_ < 0)
    return absl::ErrnoToStatus(errno, "no raw socket for packets the kernel must send");
  // A kernel without IPv6 has none, and no routes for what would go there.
  port->raw_socket_v6_ = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  port->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  port->frame_.resize(kLargestPacket);
  port->output_ = rte_ring_create("kernel_output", kKernelRingSize, SOCKET_ID_ANY, RING_F_SC_DEQ);
  bool made = port->output_ != nullptr;
  for (int i = 0; i < kKernelClasses; ++i) {
    rte_ring*& ring = port->input_[static_cast<size_t>(i)];
    ring = rte_ring_create(absl::StrCat("kernel_input_", i).c_str(), kKernelRingSize, SOCKET_ID_ANY,
                           RING_F_SC_DEQ);
    made = made && ring != nullptr;
  }
  if (!made) return absl::ResourceExhaustedError("no memory for the rings to the kernel");
  for (const Twin& twin : twins) {
    if (const absl::Status opened = port->OpenTap(twin); !opened.ok()) return opened;
  }
  port->thread_ = std::thread([raw = port.get()] { raw->Run(); });
  return port;
}

absl::Status KernelPort::OpenTap(const Twin& twin) {
  Tap tap{.dedicated = twin.dedicated,
          .largest_frame = sizeof(EthernetHeader) + kLargestTag + static_cast<size_t>(twin.mtu)};
  tap.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tap.fd < 0) return absl::ErrnoToStatus(errno, "/dev/net/tun cannot be opened");
  ifreq request{};
  twin.tap_name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  const bool made = ioctl(tap.fd, TUNSETIFF, &request) == 0;
  const int error = errno;
  tap.interface_index = made ? static_cast<int>(if_nametoindex(twin.tap_name.c_str())) : 0;
  if (made && twin.dedicated) {
    tap.from_kernel =
        rte_ring_create(twin.tap_name.c_str(), kKernelRingSize, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  }
  taps_.push_back(tap);
  if (!made)
    return absl::ErrnoToStatus(error, absl::StrCat("tap interface ", twin.tap_name, " cannot be made"));
  if (twin.dedicated && tap.from_kernel == nullptr)
    return absl::ResourceExhaustedError("no memory for the ring from the kernel");
  if (!twin.dedicated) {
    // Packets only come in here: their senders are reached over the real interface.
    SetInterfaceOption("ipv4", twin.tap_name, "rp_filter", "0");
    SetInterfaceOption("ipv6", twin.tap_name, "addr_gen_mode", "1");  // no address of its own
    SetInterfaceOption("ipv6", twin.tap_name, "accept_ra", "0");
  }
  return SetUp(twin.tap_name, twin.mac, twin.mtu, twin.dedicated);
}

KernelPort::~KernelPort() {
  stop_.store(true);
  if (thread_.joinable()) {
    eventfd_write(wake_fd_, 1);
    thread_.join();
  }
  for (rte_ring* ring : input_) FreeRing(ring);
  FreeRing(output_);
  for (const Tap& tap : taps_) {
    FreeRing(tap.from_kernel);
    if (tap.fd >= 0) close(tap.fd);
  }
  if (raw_socket_ >= 0) close(raw_socket_);
  if (raw_socket_v6_ >= 0) close(raw_socket_v6_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

int KernelPort::GiveInput(KernelClass kernel_class, rte_mbuf** packets, int count) {
  return Give(input_[static_cast<size_t>(kernel_class)], packets, count);
}
int KernelPort::GiveOutput(rte_mbuf** packets, int count) { return Give(output_, packets, count); }

int KernelPort::Give(rte_ring* ring, rte_mbuf** packets, int count) {
  const unsigned taken =
      rte_ring_enqueue_burst(ring, reinterpret_cast<void**>(packets), static_cast<unsigned>(count), nullptr);
  if (static_cast<int>(taken) < count)
    rte_pktmbuf_free_bulk(packets + taken, static_cast<unsigned>(count) - taken);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_relaxed) && asleep_.exchange(false)) eventfd_write(wake_fd_, 1);
  return count - static_cast<int>(taken);
}

int KernelPort::TakeFromKernel(int port, rte_mbuf** packets, int limit) {
  return static_cast<int>(rte_ring_dequeue_burst(taps_[port].from_kernel, reinterpret_cast<void**>(packets),
                                                 static_cast<unsigned>(limit), nullptr));
}

void KernelPort::SetCarrier(int port, bool is_up) {
  int carrier = is_up ? 1 : 0;
  if (taps_[port].dedicated) ioctl(taps_[port].fd, TUNSETCARRIER, &carrier);
}

bool KernelPort::HasWork() const {
  return !rte_ring_empty(output_) || std::any_of(input_.begin(), input_.end(),
                                                 [](const rte_ring* ring) { return !rte_ring_empty(ring); });
}

void KernelPort::Run() {
  std::vector<pollfd> polled = {{wake_fd_, POLLIN, 0}};
  for (const Tap& tap : taps_) polled.push_back({tap.fd, POLLIN, 0});
  while (!stop_.load()) {
    asleep_.store(true);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    poll(polled.data(), polled.size(), HasWork() ? 0 : 1000);
    asleep_.store(false);
    eventfd_t ignored;
    if (polled[0].revents & POLLIN) eventfd_read(wake_fd_, &ignored);
    Serve();
    for (size_t i = 0; i < taps_.size(); ++i) {
      if (polled[i + 1].revents & POLLIN) ReadTap(taps_[i]);
    }
  }
  while (HasWork()) Serve();
}

// Neighbours and routing need not wait but for one chunk of others, and those take turns with each other.
void KernelPort::Serve() {
  constexpr KernelClass kOthers[] = {KernelClass::kHost, KernelClass::kStray};
  const auto serve_first = [this] {
    for (unsigned chunk = 0; chunk < kKernelRingSize / kChunk; ++chunk) {
      const bool any_of_link = WriteInput(KernelClass::kLink);
      const bool any_of_routing = WriteInput(KernelClass::kRouting);
      if (!any_of_link && !any_of_routing) return;
    }
  };
  for (int turn = 0; turn < kTurns; ++turn) {
    bool any = false;
    for (const KernelClass other : kOthers) {
      serve_first();
      any |= WriteInput(other);
    }
    serve_first();
    any |= SendOutput();
    if (!any) return;
  }
}

// One chunk of them; false: there were none.
bool KernelPort::WriteInput(KernelClass kernel_class) {
  rte_mbuf* packets[kChunk];
  const unsigned count = rte_ring_dequeue_burst(input_[static_cast<size_t>(kernel_class)],
                                                reinterpret_cast<void**>(packets), kChunk, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    if (!Write(*packets[i])) failures_.fetch_add(1, std::memory_order_relaxed);
  }
  rte_pktmbuf_free_bulk(packets, count);
  return count > 0;
}

// From where it is. The twin of a shared port has no VLANs of its own; what has come to its host is for the
// host.
bool KernelPort::Write(rte_mbuf& packet) {
  constexpr size_t kAddresses = offsetof(EthernetHeader, ether_type);
  const Tap& tap = taps_[port_of_dpdk_port_[packet.port]];
  iovec parts[kMostParts];
  int count = 0;
  for (const rte_mbuf* segment = &packet; segment != nullptr; segment = segment->next) {
    if (count == kMostParts) return false;
    parts[count++] = {rte_pktmbuf_mtod(segment, void*), segment->data_len};
  }
  if (!tap.dedicated && IsTagged(packet)) {
    if (count == kMostParts) return false;
    std::copy_backward(parts, parts + count, parts + count + 1);
    ++count;
    parts[0].iov_len = kAddresses;
    parts[1].iov_base = static_cast<char*>(parts[1].iov_base) + kAddresses + sizeof(VlanTag);
    parts[1].iov_len -= kAddresses + sizeof(VlanTag);
  }
  return writev(tap.fd, parts, count) >= 0;
}

// One chunk of them; false: there were none.
bool KernelPort::SendOutput() {
  rte_mbuf* packets[kChunk];
  const unsigned count = rte_ring_dequeue_burst(output_, reinterpret_cast<void**>(packets), kChunk, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    // A rewritten packet: Parse has checked its headers.
    const IpAddress& next_stop = *rte_pktmbuf_mtod(packets[i], const KernelOutputHeader*);
    const auto* ip = rte_pktmbuf_mtod_offset(packets[i], const uint8_t*, sizeof(KernelOutputHeader));
    const uint32_t length = IpLength(ip);
    const void* bytes = rte_pktmbuf_read(packets[i], sizeof(KernelOutputHeader), length, frame_.data());
    if (bytes == nullptr || !SendRaw(next_stop, IsV6Header(ip), bytes, length))
      failures_.fetch_add(1, std::memory_order_relaxed);
  }
  rte_pktmbuf_free_bulk(packets, count);
  return count > 0;
}

// Another family than the packet's: the kernel would have to route it as what it is not.
bool KernelPort::SendRaw(const IpAddress& next_stop, bool is_v6, const void* bytes, size_t length) {
  if (next_stop.IsV4() == is_v6) return false;
  if (is_v6) {
    sockaddr_in6 destination{};
    destination.sin6_family = AF_INET6;
    std::memcpy(&destination.sin6_addr, next_stop.bytes.data(), 16);
    return sendto(raw_socket_v6_, bytes, length, 0, reinterpret_cast<sockaddr*>(&destination),
                  sizeof destination) >= 0;
  }
  sockaddr_in destination{};
  destination.sin_family = AF_INET;
  destination.sin_addr.s_addr = next_stop.V4().raw;
  return sendto(raw_socket_, bytes, length, 0, reinterpret_cast<sockaddr*>(&destination),
                sizeof destination) >= 0;
}

void KernelPort::ReadTap(Tap& tap) {
  for (int i = 0; i < kChunk; ++i) {
    const ssize_t length = read(tap.fd, frame_.data(), frame_.size());
    if (length <= 0) return;
    if (!tap.dedicated) continue;  // a shared interface sends its own packets
    rte_mbuf* packet = static_cast<size_t>(length) > tap.largest_frame
                           ? nullptr
                           : Buffered(pool_, frame_.data(), static_cast<size_t>(length));
    if (packet == nullptr) {
      failures_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (rte_ring_enqueue(tap.from_kernel, packet) != 0) {
      rte_pktmbuf_free(packet);
      failures_.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

}  // namespace sluice
