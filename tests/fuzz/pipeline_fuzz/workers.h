// Several workers with one configuration, as in the daemon but without threads and NICs: what one hands over
// waits in a ring until the other takes it, with the configuration of then.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/worker.h"
#include "tests/fuzz/pipeline_fuzz/frame_view.h"

namespace sluice::fuzz {

inline constexpr uint16_t kPorts = 2;
inline constexpr std::array<uint8_t, 6> kOurMac = {0x02, 0, 0, 0, 0, 0x01};

// A frame as it came, in pieces of these sizes (the last: the rest).
struct Arrival {
  FrameBytes frame;
  uint16_t port = 0;
  bool checksum_is_good = false;  // so the device says
  std::vector<size_t> segments;
};

// Fate of one packet of a burst.
struct Departure {
  Arrival arrival;
  Verdict verdict = Verdict::kNone;
  bool answered = false;  // it is the answer now
  Reply reply{};
  uint16_t port = 0;       // of the wire
  FrameBytes frame;        // as it leaves; of the kernel's output without an Ethernet header
  Address next_stop;       // of the kernel's output
  bool released = false;   // it had waited for its first fragment
  bool in_pieces = false;  // it left in fragments
};

struct Burst {
  Worker* worker = nullptr;
  bool from_peer = false;
  std::vector<Departure> departures;  // by lane
  struct Piece {
    uint16_t port;
    FrameBytes frame;
  };
  std::vector<Piece> pieces;
  std::array<uint64_t, kCounterCount> counted{};  // in this burst
  std::string fault;                              // of the output lists; empty: none
};

class Workers {
 public:
  struct Options {
    int workers = 1;
    uint32_t connection_capacity = 256;
    uint32_t template_capacity = 256;
  };
  explicit Workers(const Options& options);
  ~Workers();

  void Publish();
  void SetForwarding(const ForwardingSpec& spec);

  // Each calls `see` with every burst it makes.
  template <class See>
  void Receive(int worker, const std::vector<Arrival>& arrivals, See see) {
    std::vector<rte_mbuf*> packets;
    for (const Arrival& arrival : arrivals) packets.push_back(Allocate(arrival));
    Process(worker, packets, false, see);
  }
  // Takes packets that peers have handed over; false: there are none.
  template <class See>
  bool TakeFromPeers(int worker, See see) {
    std::vector<rte_mbuf*> packets;
    for (; !rings_[worker].empty() && packets.size() < kBurst; rings_[worker].pop_front())
      packets.push_back(rings_[worker].front());
    if (packets.empty()) return false;
    Process(worker, packets, true, see);
    return true;
  }
  void Advance(double seconds);  // and keep house

  int count() const { return static_cast<int>(workers.size()); }
  // Packets that somebody still has, and those of them that may be had.
  unsigned BuffersInUse() const;
  size_t PacketsWaiting() const;

  DestinationTable destinations;
  SnapshotBuilder snapshots;
  ForwardingBuilder forwardings;
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const Forwarding> forwarding;
  std::unique_ptr<PersistenceTable> persistence;
  std::vector<std::unique_ptr<Worker>> workers;

 private:
  template <class See>
  void Process(int worker, const std::vector<rte_mbuf*>& packets, bool from_peer, See see) {
    Batch& batch = *batches_[worker];
    std::copy(packets.begin(), packets.end(), batch.packet);
    batch.count = static_cast<int>(packets.size());
    batch.from_peer = from_peer;
    bool released = false;
    do {
      see(RunOnce(worker, batch, released));
      released = true;
    } while (TakeReleased(*workers[worker], batch));
  }
  rte_mbuf* Allocate(const Arrival& arrival);
  Burst RunOnce(int worker, Batch& batch, bool released);
  void TakeOutput(int worker, const Batch& batch, Burst& burst);

  std::map<rte_mbuf*, Arrival> known_;  // those that are on their way
  std::vector<std::deque<rte_mbuf*>> rings_;
  std::vector<std::unique_ptr<Batch>> batches_;
  unsigned in_use_before_ = 0;
};

}  // namespace sluice::fuzz
