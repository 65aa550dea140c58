// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/handoff.h"

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr unsigned kHandoffRingSize = 2048;

}  // namespace

absl::StatusOr<std::unique_ptr<Handoff>> Handoff::Create(int workers) {
  std::unique_ptr<Handoff> handoff(new Handoff());
  for (int worker = 0; worker < workers; ++worker) {
    auto way = std::make_unique<Way>();
    way->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    way->ring = rte_ring_create(absl::StrCat("handoff_", worker).c_str(), kHandoffRingSize, SOCKET_ID_ANY,
                                RING_F_SC_DEQ);
    handoff->ways_.push_back(std::move(way));
    if (handoff->ways_.back()->ring == nullptr)
      return absl::ResourceExhaustedError("no memory for the rings between workers");
  }
  return handoff;
}

Handoff::~Handoff() {
  for (const auto& way : ways_) {
    void* packet;
    while (way->ring != nullptr && rte_ring_dequeue(way->ring, &packet) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    rte_ring_free(way->ring);
    close(way->wake_fd);
  }
}

int Handoff::Give(int worker, rte_mbuf** packets, int count) {
  const int given = static_cast<int>(rte_ring_enqueue_burst(
      ways_[worker]->ring, reinterpret_cast<void**>(packets), static_cast<unsigned>(count), nullptr));
  Wake(worker);
  return given;
}

int Handoff::GiveOpenings(int worker, rte_mbuf** packets, int count) {
  const auto used = static_cast<int>(rte_ring_count(ways_[worker]->ring));
  const int room = std::max(static_cast<int>(kHandoffRingSize / 2) - used, 0);
  return room == 0 ? 0 : Give(worker, packets, std::min(count, room));
}

int Handoff::Take(int worker, rte_mbuf** packets, int limit) {
  return static_cast<int>(rte_ring_dequeue_burst(ways_[worker]->ring, reinterpret_cast<void**>(packets),
                                                 static_cast<unsigned>(limit), nullptr));
}

// The fences order "asleep, then look at the ring" against "fill the ring, then look at asleep": one of the
// two sees the other.
bool Handoff::FallAsleep(int worker) {
  Way& way = *ways_[worker];
  way.asleep.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (rte_ring_empty(way.ring)) return true;
  way.asleep.store(false, std::memory_order_relaxed);
  return false;
}

void Handoff::StandUp(int worker) {
  Way& way = *ways_[worker];
  way.asleep.store(false, std::memory_order_relaxed);
  eventfd_t ignored;
  eventfd_read(way.wake_fd, &ignored);
}

void Handoff::Wake(int worker) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::atomic<bool>& asleep = ways_[worker]->asleep;
  // Of all that find it asleep, only the first need make a system call.
  if (asleep.load(std::memory_order_relaxed) && asleep.exchange(false))
    eventfd_write(ways_[worker]->wake_fd, 1);
}

}  // namespace sluice
