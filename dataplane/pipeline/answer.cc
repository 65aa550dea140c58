// Answer: packets that go no further, but whose sender is told why.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/icmp_reply.h"
#include "dataplane/pipeline/reset.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

IcmpError ErrorOf(Reply reply, uint16_t mtu) {
  switch (reply) {
    case Reply::kTimeExceeded: return kIcmpTimeExceeded;
    case Reply::kFragmentationNeeded: return IcmpFragmentationNeeded(mtu);
    default: return kIcmpPortUnreachable;
  }
}

// nullptr: nothing is sent.
Ipv4Header* Compose(Worker& worker, Batch& batch, int lane) {
  rte_mbuf& packet = *batch.packet[lane];
  Ipv4Header& ip = *batch.ip[lane];
  if (batch.answer[lane] == Reply::kReset) {
    TurnIntoReset(packet, ip);
    return &ip;
  }
  if (!worker.icmp_limit.Take(worker.now)) {
    worker.counters.Add(Counter::kIcmpLimited);
    return nullptr;
  }
  Ipv4Header* answer = TurnIntoIcmpError(ErrorOf(batch.answer[lane], batch.answer_mtu[lane]), ip, packet);
  if (answer == nullptr) worker.counters.Add(Counter::kAnswerNoHeadroom);
  return answer;
}

}  // namespace

void Answer(Worker& worker, Batch& batch) {
  for (int lane : Lanes(batch.answers)) {
    batch.verdict[lane] = Verdict::kDrop;
    const Ipv4Header* answer = Compose(worker, batch, lane);
    if (answer == nullptr) continue;
    const NextHop& hop = worker.forwarding->hop(
        worker.forwarding->Resolve(IpAddress::FromV4(answer->destination), batch.hash[lane]));
    if (hop.kind == NextHopKind::kNoRoute) {
      worker.counters.Add(Counter::kAnswerNoRoute);
      continue;
    }
    worker.counters.Add(batch.answer[lane] == Reply::kReset ? Counter::kSentReset : Counter::kSentIcmp);
    if (hop.kind != NextHopKind::kWire) {
      worker.counters.Add(Counter::kKernelForwards);
      batch.packet[lane]->hash.usr = answer->destination.raw;
      batch.verdict[lane] = Verdict::kKernelOutput;
      continue;
    }
    auto& ethernet = *rte_pktmbuf_mtod(batch.packet[lane], EthernetHeader*);
    ethernet = {hop.destination, hop.source, kEtherTypeIpv4};
    batch.hop[lane] = &hop;
    batch.verdict[lane] = Verdict::kWire;
  }
}

}  // namespace sluice
