// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/workers.h"

#include <algorithm>
#include <optional>
#include <set>

#include "dataplane/net/check.h"
#include "dataplane/pipeline/frame.h"
#include "tests/support/eal.h"

namespace sluice::fuzz {
namespace {

constexpr HashSecret kSecret{
    {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89}};
constexpr Jiffies kStart = 0xfffff000;  // wraps in sixteen seconds

FrameBytes BytesOf(const rte_mbuf& packet) {
  FrameBytes bytes;
  for (const rte_mbuf* segment = &packet; segment != nullptr; segment = segment->next) {
    const auto* start = rte_pktmbuf_mtod(segment, const uint8_t*);
    bytes.insert(bytes.end(), start, start + segment->data_len);
  }
  return bytes;
}

// The list holds exactly these lanes.
bool IsListOf(PacketList& list, std::multiset<rte_mbuf*> lanes) {
  const std::multiset<rte_mbuf*> listed(list.packets, list.packets + list.count);
  return listed == lanes;
}

}  // namespace

Workers::Workers(const Options& options)
    : snapshots(destinations, {kSecret, static_cast<uint32_t>(options.workers)}),
      rings_(static_cast<size_t>(options.workers)) {
  StartEalForTest();
  in_use_before_ = rte_mempool_in_use_count(PacketPoolForTest());
  persistence = std::make_unique<PersistenceTable>(options.template_capacity, kSecret, kStart, destinations);
  const MacAddress mac{kOurMac};
  for (int i = 0; i < options.workers; ++i) {
    workers.push_back(
        std::make_unique<Worker>(Worker::Setup{.index = i,
                                               .workers = options.workers,
                                               .connection_capacity = options.connection_capacity,
                                               .secret = kSecret,
                                               .now = kStart,
                                               .destinations = &destinations,
                                               .persistence = persistence.get(),
                                               .port_macs = {mac, mac},
                                               .port_numbers = {0, 1}}));
    batches_.push_back(std::make_unique<Batch>());
  }
}

Workers::~Workers() {
  for (auto& ring : rings_) {
    for (rte_mbuf* packet : ring) rte_pktmbuf_free(packet);
  }
}

void Workers::Publish() {
  const auto previous = snapshot;
  snapshot = snapshots.Build();
  for (auto& worker : workers) worker->Use(*snapshot, *forwarding);
  snapshots.Published();
}

void Workers::SetForwarding(const ForwardingSpec& spec) {
  const auto previous = forwarding;
  forwarding = forwardings.Build(spec);
  Publish();
}

unsigned Workers::BuffersInUse() const {
  return rte_mempool_in_use_count(PacketPoolForTest()) - in_use_before_;
}

size_t Workers::PacketsWaiting() const {
  size_t waiting = 0;
  for (const auto& worker : workers) waiting += static_cast<size_t>(worker->fragments.waiting());
  for (const auto& ring : rings_) waiting += ring.size();
  return waiting;
}

rte_mbuf* Workers::Allocate(const Arrival& arrival) {
  rte_mbuf* first = nullptr;
  rte_mbuf* last = nullptr;
  size_t at = 0;
  for (size_t i = 0; i <= arrival.segments.size(); ++i) {
    const size_t rest = arrival.frame.size() - at;
    const size_t length = i < arrival.segments.size() ? std::min(arrival.segments[i], rest) : rest;
    if (first != nullptr && length == 0) continue;
    rte_mbuf* segment = rte_pktmbuf_alloc(PacketPoolForTest());
    SLUICE_CHECK(segment != nullptr && length <= rte_pktmbuf_tailroom(segment));
    if (length > 0) std::memcpy(rte_pktmbuf_mtod(segment, void*), &arrival.frame[at], length);
    segment->data_len = static_cast<uint16_t>(length);
    segment->pkt_len = static_cast<uint32_t>(length);
    at += length;
    if (first == nullptr) {
      first = last = segment;
      continue;
    }
    last->next = segment;
    last = segment;
    ++first->nb_segs;
    first->pkt_len += static_cast<uint32_t>(length);
  }
  first->port = arrival.port;
  first->ol_flags = arrival.checksum_is_good ? uint64_t{RTE_MBUF_F_RX_IP_CKSUM_GOOD} : 0;
  known_[first] = arrival;
  return first;
}

Burst Workers::RunOnce(int index, Batch& batch, bool released) {
  Worker& worker = *workers[index];
  Burst burst{.worker = &worker, .from_peer = batch.from_peer};
  for (int i = 0; i < kCounterCount; ++i) burst.counted[i] = worker.counters.Get(static_cast<Counter>(i));
  ProcessBurst(worker, batch);
  for (int i = 0; i < kCounterCount; ++i)
    burst.counted[i] = worker.counters.Get(static_cast<Counter>(i)) - burst.counted[i];
  TakeOutput(index, batch, burst);
  for (Departure& each : burst.departures) each.released = released;
  return burst;
}

namespace {

// To whom the packets of a list are handed over, if they are.
std::optional<size_t> PeerOf(const Output& output, const PacketList* list) {
  for (size_t i = 0; i < output.peers.size(); ++i) {
    if (list == &output.peers[i] || list == &output.peer_openings[i]) return i;
  }
  return std::nullopt;
}

}  // namespace

void Workers::TakeOutput(int index, const Batch& batch, Burst& burst) {
  Output& output = workers[index]->output;
  std::map<PacketList*, std::multiset<rte_mbuf*>> expected;
  for (PacketList& list : output.wire) expected[&list];
  for (PacketList& list : output.peers) expected[&list];
  for (PacketList& list : output.peer_openings) expected[&list];
  for (PacketList& list : output.kernel_input) expected[&list];
  expected[&output.kernel_output];
  for (int lane = 0; lane < batch.count; ++lane) {
    rte_mbuf* packet = batch.packet[lane];
    Departure departure{.arrival = known_.at(packet), .verdict = batch.verdict[lane]};
    departure.answered = batch.answers & LaneBit(lane);
    if (departure.answered) departure.reply = batch.answer[lane];
    PacketList* list = nullptr;
    switch (batch.verdict[lane]) {
      case Verdict::kWire:
        departure.port = batch.hop[lane]->port;
        list = &output.wire[departure.port];
        break;
      case Verdict::kKernelInput:
        list = &output.kernel_input[static_cast<size_t>(batch.kernel_class[lane])];
        break;
      case Verdict::kKernelOutput: list = &output.kernel_output; break;
      case Verdict::kPeer:
        list = &(batch.Opens(lane) ? output.peer_openings : output.peers)[batch.owner[lane]];
        break;
      case Verdict::kHeld: break;
      default: known_.erase(packet);
    }
    if (list != nullptr) {
      expected[list].insert(packet);
      departure.frame = BytesOf(*packet);
    }
    if (departure.verdict == Verdict::kKernelOutput) {
      KernelOutputHeader stop;
      std::memcpy(static_cast<void*>(&stop), departure.frame.data(), sizeof stop);
      departure.next_stop = Address::Of(stop);
      departure.frame.erase(departure.frame.begin(), departure.frame.begin() + sizeof stop);
    }
    burst.departures.push_back(std::move(departure));
  }
  for (auto& [list, packets] : expected) {
    if (!IsListOf(*list, packets)) burst.fault = "an output list holds other packets than verdicts say";
    const std::optional<size_t> peer = PeerOf(output, list);
    for (int i = 0; i < list->count; ++i) {
      if (peer) {
        rings_[*peer].push_back(list->packets[i]);
        continue;
      }
      known_.erase(list->packets[i]);
      rte_pktmbuf_free(list->packets[i]);
    }
    list->count = 0;
  }
  for (int i = 0; i < output.piece_count; ++i) {
    burst.pieces.push_back({output.piece_ports[i], BytesOf(*output.pieces[i])});
    rte_pktmbuf_free(output.pieces[i]);
  }
  output.piece_count = 0;
}

void Workers::Advance(double seconds) {
  const auto distance = static_cast<Jiffies>(seconds * kJiffiesPerSecond);
  const Jiffies end = workers[0]->now + distance;
  const Jiffies longest = distance < 10 * kJiffiesPerSecond ? 25 : 2 * kJiffiesPerSecond;
  while (workers[0]->now != end) {
    const Jiffies step = std::min<Jiffies>(end - workers[0]->now, longest);
    for (auto& worker : workers) {
      worker->now += step;
      while (KeepHouse(*worker) > 0) {
      }
    }
  }
}

}  // namespace sluice::fuzz
