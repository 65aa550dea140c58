// Classify: TCP, UDP and SCTP go on, and ICMP errors about them; all else is the kernel's.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/check.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

Counter KernelReason(PacketKind kind) {
  switch (kind) {
    case PacketKind::kFlow:
    case PacketKind::kLaterFragment:
    case PacketKind::kIcmpError: break;
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
  return kind == PacketKind::kFlow || kind == PacketKind::kLaterFragment || kind == PacketKind::kIcmpError;
}

}  // namespace

LaneMask Classify(Worker& worker, Batch& batch, LaneMask lanes) {
  LaneMask flows = 0;
  for (int lane : Lanes(lanes)) {
    if (IsOurs(batch.kind[lane])) {
      flows |= LaneBit(lane);
    } else {
      GiveToKernel(worker, batch, lane, KernelReason(batch.kind[lane]));
    }
  }
  return flows;
}

}  // namespace sluice
