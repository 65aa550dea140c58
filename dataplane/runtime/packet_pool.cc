// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/packet_pool.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr unsigned kCache = 256;

// DPDK 22.11's AF_XDP driver registers as many bytes as the buffers would take side by side. But buffers do
// not cross pages, and what is skipped puts the last ones beyond; the kernel silently throws such a buffer
// away when it finds it in a fill ring, until the ring is empty and the queue is dead. They must never be
// used.
void RetireUnregistered(rte_mempool* pool) {
  const rte_mempool_memhdr* memory = STAILQ_FIRST(&pool->mem_list);
  const size_t size = pool->header_size + pool->elt_size + pool->trailer_size;
  const auto* end = static_cast<const char*>(memory->addr) + pool->populated_size * size;
  std::vector<rte_mbuf*> all(pool->populated_size);
  if (rte_pktmbuf_alloc_bulk(pool, all.data(), static_cast<unsigned>(all.size())) != 0) return;
  for (rte_mbuf* packet : all) {
    if (reinterpret_cast<const char*>(packet) + pool->elt_size + pool->trailer_size <= end)
      rte_pktmbuf_free(packet);
  }
}

}  // namespace

absl::StatusOr<rte_mempool*> CreatePacketPool(const char* name, unsigned packets, bool for_af_xdp) {
  // Without hugepages a page would hold one buffer. There, no device needs a buffer to be contiguous in bus
  // addresses, so buffers may cross pages; side by side they also spread better over the caches.
  const unsigned flags = rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  rte_mempool* pool =
      rte_mempool_create_empty(name, packets, sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, kCache,
                               sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, flags);
  const auto failed = [&](int error) {
    rte_mempool_free(pool);
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", packets, " packets: ", rte_strerror(error)));
  };
  if (pool == nullptr) return failed(rte_errno);
  rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
  rte_pktmbuf_pool_init(pool, nullptr);
  if (const int populated = rte_mempool_populate_default(pool); populated < 0) return failed(-populated);
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  if (!for_af_xdp) return pool;
  if (pool->nb_mem_chunks != 1) return failed(ENOMEM);  // the driver would register the first piece alone
  RetireUnregistered(pool);
  return pool;
}

}  // namespace sluice
