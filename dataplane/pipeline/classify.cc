// Classify: TCP, UDP and SCTP go on, and ICMP errors about them; an echo of a virtual address is answered;
// all else is the kernel's.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/check.h"
#include "dataplane/pipeline/rewrite_icmp.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

Counter KernelReason(PacketKind kind) {
  switch (kind) {
    case PacketKind::kFlow:
    case PacketKind::kLaterFragment:
    case PacketKind::kTunnelError:
    case PacketKind::kIcmpError: break;
    case PacketKind::kEcho:
    case PacketKind::kIcmp: return Counter::kKernelIcmp;
    case PacketKind::kFragment: return Counter::kKernelFragment;
    case PacketKind::kOtherProtocol: return Counter::kKernelProtocol;
    case PacketKind::kArp: return Counter::kKernelArp;
    case PacketKind::kIpv6Headers: return Counter::kKernelIpv6Headers;
    case PacketKind::kVlan: return Counter::kKernelVlan;
    case PacketKind::kOtherEtherType: return Counter::kKernelEtherType;
    case PacketKind::kGroupAddress: return Counter::kKernelGroupAddress;
  }
  SLUICE_CHECK(false);
}

bool IsOurs(PacketKind kind) {
  return kind == PacketKind::kFlow || kind == PacketKind::kLaterFragment || kind == PacketKind::kIcmpError ||
         kind == PacketKind::kTunnelError;
}

bool IsOurEcho(const Worker& worker, const Batch& batch, int lane) {
  return batch.kind[lane] == PacketKind::kEcho &&
         worker.snapshot->endpoints.IsVirtualAddress(batch.DestinationOf(lane)) &&
         batch.SourceOf(lane).CanBeHost();
}

void AnswerEcho(Worker& worker, Batch& batch, int lane) {
  if (HasSoundIcmpChecksum(batch, lane)) {
    AnswerWith(worker, batch, lane, Reply::kEcho, Counter::kEchoAnswered);
  } else {
    Drop(worker, batch, lane, Counter::kDropIcmpChecksum);
  }
}

}  // namespace

LaneMask Classify(Worker& worker, Batch& batch, LaneMask lanes) {
  LaneMask flows = lanes & batch.plain;
  for (int lane : Lanes(lanes & ~batch.plain)) {
    if (IsOurs(batch.kind[lane])) {
      flows |= LaneBit(lane);
    } else if (IsOurEcho(worker, batch, lane)) {
      AnswerEcho(worker, batch, lane);
    } else {
      GiveToKernel(worker, batch, lane, KernelReason(batch.kind[lane]));
    }
  }
  return flows;
}

}  // namespace sluice
