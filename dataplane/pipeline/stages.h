// The stages, in the order of the road. Each takes the lanes it must handle, gives a verdict to those that
// leave here, and returns the rest (Lookup and Schedule say what they return). Only pipeline.cc calls them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/worker.h"

namespace sluice {

// Checks every length and header up to the ports; fills kind, ip, ip_length, tuple, signal. What is not
// sound is dropped under a name.
LaneMask Parse(Worker& worker, Batch& batch, LaneMask lanes);

// Gives the kernel what Sluice does not balance: ARP, ICMP, fragments and so on.
LaneMask Classify(Worker& worker, Batch& batch, LaneMask lanes);

// Finds connections; fills connection, direction and traits. Returns the lanes that have none (or one that
// this packet must replace).
LaneMask Lookup(Worker& worker, Batch& batch, LaneMask lanes);

// Makes connections for fresh lanes. Returns those that got none; they have a verdict.
LaneMask Schedule(Worker& worker, Batch& batch, LaneMask fresh);

// Protocol state, deadline and statistics of the connection.
LaneMask Track(Worker& worker, Batch& batch, LaneMask lanes);

// Time to live, addresses, ports, checksums, tunnel headers, MAC addresses; fills hop.
void Rewrite(Worker& worker, Batch& batch, LaneMask lanes);

// Turns the packets of lanes that have an answer into it: resets and ICMP errors.
void Answer(Worker& worker, Batch& batch);

// Sorts packets into worker.output by verdict.
void Transmit(Worker& worker, Batch& batch);

// What leaves the road: a counter and a verdict.
inline void Drop(Worker& worker, Batch& batch, int lane, Counter reason) {
  worker.counters.Add(reason);
  batch.verdict[lane] = Verdict::kDrop;
}
inline void AnswerWith(Worker& worker, Batch& batch, int lane, Reply reply, Counter reason,
                       uint16_t mtu = 0) {
  worker.counters.Add(reason);
  batch.verdict[lane] = Verdict::kAnswer;
  batch.answers |= LaneBit(lane);
  batch.answer[lane] = reply;
  batch.answer_mtu[lane] = mtu;
}
// Packets over the budget of their class are dropped under that name (kernel_class.h).
void GiveToKernel(Worker& worker, Batch& batch, int lane, Counter reason);
// Rewritten, but not for a neighbour that Sluice knows.
void SendByKernel(Worker& worker, Batch& batch, int lane, const IpAddress& next_stop);
// Gives a packet that is within the budget.
void PutForKernel(Worker& worker, Batch& batch, int lane, const IpAddress& next_stop);

}  // namespace sluice
