// The way into the kernel under a flood, over a tap interface in a network namespace of this test's own.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/kernel_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "tests/support/eal.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

constexpr int kFrames = 400;       // of a class that must not suffer
constexpr int kFloodBetween = 64;  // two of them

// Sees all frames of some EtherType that come in over an interface.
class Listener {
 public:
  Listener(int interface, uint16_t ether_type) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0)) {
    const int megabytes = 16 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &megabytes, sizeof megabytes);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ether_type);
    address.sll_ifindex = interface;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Listener() { close(fd_); }

  // One that is there; empty: none.
  FrameBytes Take() {
    FrameBytes frame(2048);
    const ssize_t length = recv(fd_, frame.data(), frame.size(), 0);
    frame.resize(length < 0 ? 0 : static_cast<size_t>(length));
    return frame;
  }
  int Count(int expected) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    int count = 0;
    while (count < expected && std::chrono::steady_clock::now() < end) {
      if (Take().empty()) {
        std::this_thread::yield();
      } else {
        ++count;
      }
    }
    return count;
  }

 private:
  int fd_;
};

class KernelPortTest : public testing::Test {
 protected:
  void SetUp() override {
    StartEalForTest();
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "this test must run as root";
    auto opened = KernelPort::Open({{.tap_name = "twin0", .mac = kMacOfSluice}}, {0}, PacketPoolForTest());
    ASSERT_TRUE(opened.ok()) << opened.status();
    port_ = *std::move(opened);
  }

  // Returns how many found no room.
  int Give(KernelClass kernel_class, const FrameBytes& frame, int count = 1) {
    rte_mbuf* packets[kFloodBetween];
    for (int i = 0; i < count; ++i) {
      packets[i] = rte_pktmbuf_alloc(PacketPoolForTest());
      if (packets[i] == nullptr) return count;
      packets[i]->port = 0;
      std::memcpy(rte_pktmbuf_append(packets[i], static_cast<uint16_t>(frame.size())), frame.data(),
                  frame.size());
    }
    return port_->GiveInput(kernel_class, packets, count);
  }

  std::unique_ptr<KernelPort> port_;
};

// An attacker has segments sent to a virtual address, more than the kernel takes: their ring is always full.
TEST_F(KernelPortTest, AFloodOfStraysCostsNoFrameOfOthers) {
  constexpr uint16_t kLldp = 0x88cc;
  Listener arps(port_->tap_interface_index(0), 0x0806);
  Listener lldps(port_->tap_interface_index(0), kLldp);
  const FrameBytes stray = Packet().Tcp(kTcpAck).Payload(std::string(1000, 'x')).Bytes();
  const FrameBytes arp = Packet().EtherType(kEtherTypeArp).Bytes();
  const FrameBytes lldp =
      Packet().EtherType(Be16::FromHost(kLldp)).Bytes();  // in BGP's place: easily told apart
  int strays_lost = 0;
  int others_lost = 0;
  for (int i = 0; i < kFrames; ++i) {
    // Until the ring has overflown once more, so that whoever shares it would have no room.
    const int lost_before = strays_lost;
    for (int tries = 0; tries < 1000 && strays_lost == lost_before; ++tries)
      strays_lost += Give(KernelClass::kStray, stray, kFloodBetween);
    others_lost += Give(KernelClass::kLink, arp);
    others_lost += Give(KernelClass::kRouting, lldp);
  }
  EXPECT_GE(strays_lost, kFrames) << "it was to be a flood";
  EXPECT_EQ(others_lost, 0);
  EXPECT_EQ(arps.Count(kFrames), kFrames);
  EXPECT_EQ(lldps.Count(kFrames), kFrames);
}

TEST_F(KernelPortTest, TagsAreRemovedAndSegmentsJoined) {
  Listener listener(port_->tap_interface_index(0), 0x0800);
  const FrameBytes plain = Packet().Payload("for the host").Bytes();
  EXPECT_EQ(Give(KernelClass::kHost, Packet().Payload("for the host").Vlan(7).Bytes()), 0);
  FrameBytes seen;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while ((seen = listener.Take()).empty() && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  EXPECT_EQ(seen, plain);

  rte_mbuf* head = rte_pktmbuf_alloc(PacketPoolForTest());
  rte_mbuf* tail = rte_pktmbuf_alloc(PacketPoolForTest());
  constexpr uint16_t kInHead = 20;
  std::memcpy(rte_pktmbuf_append(head, kInHead), plain.data(), kInHead);
  const auto rest = static_cast<uint16_t>(plain.size() - kInHead);
  std::memcpy(rte_pktmbuf_append(tail, rest), plain.data() + kInHead, rest);
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  head->port = 0;
  EXPECT_EQ(port_->GiveInput(KernelClass::kHost, &head, 1), 0);
  while ((seen = listener.Take()).empty() && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  EXPECT_EQ(seen, plain);
  EXPECT_EQ(port_->failures(), 0u);
}

}  // namespace
}  // namespace sluice
