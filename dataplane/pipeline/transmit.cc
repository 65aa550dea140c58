// Transmit: every packet leaves the burst, by its verdict.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/check.h"
#include "dataplane/pipeline/split.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {

namespace {

// The packet itself is done with afterwards.
void Split(Worker& worker, const Batch& batch, int lane) {
  Output& output = worker.output;
  const NextHop& hop = *batch.hop[lane];
  const SplitOptions options = {.mtu = batch.mtu[lane],
                                .ip_length = batch.ip_length[lane],
                                .identification = Be32::FromHost(worker.split_identification++)};
  const int count = SplitPacket(*batch.packet[lane], batch.ip[lane], options,
                                output.pieces + output.piece_count, Output::kMostPieces - output.piece_count);
  worker.counters.Add(count == 0 ? Counter::kDropExceedsMtu : Counter::kSplit);
  for (int i = 0; i < count; ++i) output.piece_ports[output.piece_count++] = hop.port;
}

}  // namespace

void Transmit(Worker& worker, Batch& batch) {
  Output& output = worker.output;
  rte_mbuf* dropped[kBurst];
  unsigned drops = 0;
  for (int lane : Lanes(batch.all())) {
    rte_mbuf* packet = batch.packet[lane];
    if (batch.verdict[lane] == Verdict::kWire) [[likely]] {
      output.wire[batch.hop[lane]->port].Add(packet);
      continue;
    }
    switch (batch.verdict[lane]) {
      case Verdict::kSplit:
        Split(worker, batch, lane);
        dropped[drops++] = packet;
        break;
      case Verdict::kKernelInput:
        output.kernel_input[static_cast<size_t>(batch.kernel_class[lane])].Add(packet);
        break;
      case Verdict::kKernelOutput: output.kernel_output.Add(packet); break;
      case Verdict::kPeer:
        (batch.Opens(lane) ? output.peer_openings : output.peers)[batch.owner[lane]].Add(packet);
        break;
      case Verdict::kDrop: dropped[drops++] = packet; break;
      case Verdict::kWire:
      case Verdict::kHeld: break;
      case Verdict::kAnswer:
      case Verdict::kNone: SLUICE_CHECK(false); break;
    }
  }
  if (drops > 0) rte_pktmbuf_free_bulk(dropped, drops);
}

}  // namespace sluice
