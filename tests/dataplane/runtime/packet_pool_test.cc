#include "dataplane/runtime/packet_pool.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <vector>

#include "tests/support/eal.h"

namespace sluice {
namespace {

// What DPDK's AF_XDP driver registers with the kernel: so many bytes from the first on. A buffer beyond
// would be swallowed by the kernel.
TEST(PacketPoolTest, EveryBufferIsWithinWhatTheDriverRegisters) {
  StartEalForTest();
  constexpr unsigned kPackets = 5000;
  const absl::StatusOr<rte_mempool*> pool = CreatePacketPool("registered", kPackets);
  ASSERT_TRUE(pool.ok()) << pool.status();
  const size_t size = (*pool)->header_size + (*pool)->elt_size + (*pool)->trailer_size;
  const char* begin = static_cast<const char*>(STAILQ_FIRST(&(*pool)->mem_list)->addr);
  std::vector<rte_mbuf*> packets;
  while (rte_mbuf* packet = rte_pktmbuf_alloc(*pool)) packets.push_back(packet);
  EXPECT_GT(packets.size(), kPackets * 99 / 100);
  for (rte_mbuf* packet : packets) {
    const char* end = reinterpret_cast<const char*>(packet) + (*pool)->elt_size;
    ASSERT_LE(static_cast<size_t>(end - begin), kPackets * size);
    rte_pktmbuf_free(packet);
  }
  rte_mempool_free(*pool);
}

TEST(PacketPoolTest, TooManyAreRefused) {
  StartEalForTest();
  EXPECT_FALSE(CreatePacketPool("huge", 100'000'000).ok());
}

}  // namespace
}  // namespace sluice
