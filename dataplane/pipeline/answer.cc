// Answer: packets that go no further, but whose sender is told why.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/icmp_reply.h"
#include "dataplane/pipeline/reset.h"
#include "dataplane/pipeline/segments.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

IcmpError ErrorOf(const Batch& batch, int lane) {
  const uint16_t mtu = batch.answer_mtu[lane];
  const bool is_v6 = batch.tuple[lane].IsV6();
  switch (batch.answer[lane]) {
    case Reply::kRelayed: return batch.relayed[lane];
    case Reply::kTimeExceeded: return is_v6 ? kIcmpv6TimeExceeded : kIcmpTimeExceeded;
    case Reply::kTooBig: return is_v6 ? Icmpv6PacketTooBig(mtu) : IcmpFragmentationNeeded(mtu);
    case Reply::kHostUnreachable: return is_v6 ? kIcmpv6AddressUnreachable : kIcmpHostUnreachable;
    default: return is_v6 ? kIcmpv6PortUnreachable : kIcmpPortUnreachable;
  }
}

IpAddress AddressedTo(Batch& batch, int lane) {
  return IsV6Header(batch.ip[lane]) ? IpAddress::FromV6(batch.v6(lane).destination)
                                    : IpAddress::FromV4(batch.v4(lane).destination);
}

bool MayReplyBeSplit(Batch& batch, int lane) {
  return !IsV6Header(batch.ip[lane]) && !(batch.v4(lane).flags_and_offset.raw & kIpv4DontFragment.raw);
}

// False: nothing is sent.
bool Compose(Worker& worker, Batch& batch, int lane, const IpAddress& sender) {
  if (batch.answer[lane] == Reply::kReset) {
    if (batch.Opens(lane) && !worker.refusal_limit.Take(worker.now)) {
      worker.counters.Add(Counter::kResetLimited);
      return false;
    }
    TurnIntoReset(batch, lane);
    return true;
  }
  if (batch.answer[lane] == Reply::kEcho) {
    rte_mbuf& packet = *batch.packet[lane];
    CutTo(packet, BytesBefore(packet, batch.ip[lane]) + batch.ip_length[lane]);
    TurnIntoEchoReply(batch, lane);
    return true;
  }
  // As in Linux, what a sender must know to be heard at all has no limit: it cannot send less otherwise.
  if (batch.answer[lane] != Reply::kTooBig && !worker.icmp_limit.Take(worker.now)) {
    worker.counters.Add(Counter::kIcmpLimited);
    return false;
  }
  IpAddress in_the_name_of = AddressedTo(batch, lane);
  if (batch.answer[lane] == Reply::kNoConnection) {
    in_the_name_of = worker.forwarding->SourceTowards(sender);
    if (in_the_name_of.IsUnspecified() || in_the_name_of.IsV4() != sender.IsV4()) {
      worker.counters.Add(Counter::kAnswerNoRoute);
      return false;
    }
  }
  if (TurnIntoIcmpError(ErrorOf(batch, lane), in_the_name_of, batch, lane)) return true;
  worker.counters.Add(Counter::kAnswerNoHeadroom);
  return false;
}

}  // namespace

void Answer(Worker& worker, Batch& batch) {
  for (int lane : Lanes(batch.answers)) {
    batch.verdict[lane] = Verdict::kDrop;
    const IpAddress sender = IsV6Header(batch.ip[lane]) ? IpAddress::FromV6(batch.v6(lane).source)
                                                        : IpAddress::FromV4(batch.v4(lane).source);
    const NextHop& hop = worker.forwarding->hop(worker.forwarding->Resolve(sender, batch.hash[lane]));
    if (hop.kind == NextHopKind::kNoRoute) {
      worker.counters.Add(Counter::kAnswerNoRoute);
      continue;
    }
    if (hop.kind != NextHopKind::kWire && !worker.kernel_buckets.forwards.Take(worker.now)) {
      worker.counters.Add(Counter::kAnswerKernelFull);
      continue;
    }
    if (!Compose(worker, batch, lane, sender)) continue;
    // The reply to a large echo may leave over a smaller link than the request came by.
    const bool is_too_large = hop.kind == NextHopKind::kWire && batch.ip_length[lane] > hop.mtu;
    if (is_too_large && !MayReplyBeSplit(batch, lane)) {
      worker.counters.Add(Counter::kAnswerTooLarge);
      continue;
    }
    worker.counters.Add(batch.answer[lane] == Reply::kReset ? Counter::kSentReset : Counter::kSentIcmp);
    if (hop.kind != NextHopKind::kWire) {
      PutForKernel(worker, batch, lane, sender);
      continue;
    }
    PutEthernet(*batch.packet[lane], batch.ip[lane], hop);
    batch.hop[lane] = &hop;
    batch.mtu[lane] = hop.mtu;
    batch.verdict[lane] = is_too_large ? Verdict::kSplit : Verdict::kWire;
  }
}

}  // namespace sluice
