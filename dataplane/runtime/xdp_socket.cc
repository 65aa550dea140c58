// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/xdp_socket.h"

#include <linux/if_xdp.h>
#include <rte_mbuf.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace sluice {
namespace {

// Calls `receive` with each descriptor of this process and what it is.
template <class Receive>
void ForEachFile(const Receive& receive) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    int fd = -1;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &fd)) continue;
    std::error_code gone;
    receive(fd, std::filesystem::read_symlink(entry.path(), gone).string());
  }
}

// A ring as the driver has it in memory.
struct MappedRing {
  const char* memory = nullptr;
  size_t bytes = 0;
};

// The ring of a socket is mapped with the socket as its file, at an offset that says which it is.
MappedRing FindRing(int socket, uint64_t which) {
  struct stat about {};
  if (fstat(socket, &about) != 0) return {};
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    uint64_t offset = 0, inode = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %" SCNu64, &begin, &end,
                    &offset, &inode) == 4 &&
        inode == about.st_ino && offset == which)
      return {reinterpret_cast<const char*>(begin), end - begin};
  }
  return {};
}

uint64_t AddressIn(uint64_t entry) { return entry & XSK_UNALIGNED_BUF_ADDR_MASK; }
uint64_t AddressIn(const xdp_desc& entry) { return AddressIn(entry.addr); }

// The driver counts addresses from the page in which the pool begins; nullptr: no buffer is there.
rte_mbuf* BufferAt(uint64_t address, rte_mempool* pool) {
  const rte_mempool_memhdr* memory = STAILQ_FIRST(&pool->mem_list);
  const auto first = reinterpret_cast<uint64_t>(memory->addr);
  const uint64_t base = first & ~(static_cast<uint64_t>(getpagesize()) - 1);
  const uint64_t place = base + address + pool->header_size;
  if (place < first || place + pool->elt_size > first + memory->len) return nullptr;
  auto* packet = reinterpret_cast<rte_mbuf*>(place);
  return packet->pool == pool && rte_mbuf_refcnt_read(packet) == 1 ? packet : nullptr;
}

// Entries that were put in and not taken out.
template <class Entry>
void Collect(const MappedRing& ring, const xdp_ring_offset& at, rte_mempool* pool,
             std::set<rte_mbuf*>& buffers) {
  if (ring.memory == nullptr || ring.bytes <= at.desc + sizeof(Entry)) return;
  const auto entries = static_cast<uint32_t>(std::bit_floor((ring.bytes - at.desc) / sizeof(Entry)));
  const auto word = [&](uint64_t offset) {
    return __atomic_load_n(reinterpret_cast<const uint32_t*>(ring.memory + offset), __ATOMIC_ACQUIRE);
  };
  const uint32_t consumed = word(at.consumer);
  const uint32_t produced = word(at.producer);
  if (produced - consumed > entries) return;
  const auto* first = reinterpret_cast<const Entry*>(ring.memory + at.desc);
  for (uint32_t i = consumed; i != produced; ++i) {
    if (rte_mbuf* packet = BufferAt(AddressIn(first[i % entries]), pool)) buffers.insert(packet);
  }
}

}  // namespace

std::set<int> XdpSockets() {
  std::set<int> sockets;
  ForEachFile([&](int fd, const std::string&) {
    int domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_XDP) sockets.insert(fd);
  });
  return sockets;
}

std::set<int> BpfFiles() {
  std::set<int> files;
  ForEachFile([&](int fd, const std::string& what) {
    if (absl::StartsWith(what, "anon_inode:bpf") || absl::StartsWith(what, "anon_inode:btf") ||
        absl::StartsWith(what, "anon_inode:[bpf") || absl::StartsWith(what, "anon_inode:[btf"))
      files.insert(fd);
  });
  return files;
}

std::vector<rte_mbuf*> BuffersInRings(int socket, rte_mempool* pool) {
  xdp_mmap_offsets at{};
  socklen_t length = sizeof at;
  if (getsockopt(socket, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length) != 0) return {};
  std::set<rte_mbuf*> buffers;
  Collect<uint64_t>(FindRing(socket, XDP_UMEM_PGOFF_FILL_RING), at.fr, pool, buffers);
  Collect<uint64_t>(FindRing(socket, XDP_UMEM_PGOFF_COMPLETION_RING), at.cr, pool, buffers);
  Collect<xdp_desc>(FindRing(socket, XDP_PGOFF_RX_RING), at.rx, pool, buffers);
  Collect<xdp_desc>(FindRing(socket, XDP_PGOFF_TX_RING), at.tx, pool, buffers);
  return {buffers.begin(), buffers.end()};
}

}  // namespace sluice
