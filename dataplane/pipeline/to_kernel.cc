// Leaving the road for the kernel: by class, within the class's budget.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/check.h"
#include "dataplane/pipeline/kernel_class.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

constexpr Be16 kBgpPort = Be16::FromHost(179);
// BFD of one hop, its echo, and of several hops (RFC 5881, RFC 5883).
constexpr Be16 kBfdPorts[] = {Be16::FromHost(3784), Be16::FromHost(3785), Be16::FromHost(4784)};

// Solicitations and advertisements of routers and neighbours, and redirects (RFC 4861): who routes them
// lowers the limit of hops, so that only neighbours can send them.
bool IsNeighbourDiscovery(const Batch& batch, int lane) {
  if (batch.kind[lane] != PacketKind::kIcmp || !IsV6Header(batch.ip[lane])) return false;
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(batch.ip[lane]);
  constexpr uint8_t kRouterSolicitation = 133;
  constexpr uint8_t kRedirect = 137;
  if (ip.hop_limit != 255 || batch.ip_length[lane] < batch.transport_at[lane] + sizeof(IcmpHeader))
    return false;
  const auto& icmp = *reinterpret_cast<const IcmpHeader*>(batch.ip[lane] + batch.transport_at[lane]);
  return icmp.type >= kRouterSolicitation && icmp.type <= kRedirect;
}

bool IsRouting(const FlowTuple& tuple) {
  if (tuple.protocol() == Protocol::kTcp)
    return tuple.destination_port() == kBgpPort || tuple.source_port() == kBgpPort;
  if (tuple.protocol() != Protocol::kUdp) return false;
  for (const Be16 port : kBfdPorts) {
    if (tuple.destination_port() == port) return true;
  }
  return false;
}

KernelClass ClassOfForeignFlow(const Worker& worker, const Batch& batch, int lane) {
  if (worker.snapshot->endpoints.IsVirtualAddress(batch.DestinationOf(lane))) return KernelClass::kStray;
  return IsRouting(batch.tuple[lane]) ? KernelClass::kRouting : KernelClass::kHost;
}

KernelClass ClassOf(const Worker& worker, const Batch& batch, int lane, Counter reason) {
  switch (reason) {
    case Counter::kKernelArp:
    case Counter::kKernelEtherType:
    case Counter::kKernelGroupAddress: return KernelClass::kLink;
    case Counter::kKernelIcmp:
      return IsNeighbourDiscovery(batch, lane) ? KernelClass::kLink : KernelClass::kHost;
    case Counter::kKernelProtocol: return KernelClass::kHost;
    case Counter::kKernelNoService: return ClassOfForeignFlow(worker, batch, lane);
    case Counter::kKernelIpv6Headers:
    case Counter::kKernelVlan:
    case Counter::kKernelFragment:
    case Counter::kKernelNoConnection:
    case Counter::kKernelFtpData:
    case Counter::kKernelBypass:
    case Counter::kKernelLocal: return KernelClass::kStray;
    default: SLUICE_CHECK(false);
  }
}

}  // namespace

void GiveToKernel(Worker& worker, Batch& batch, int lane, Counter reason) {
  const KernelClass kernel_class = ClassOf(worker, batch, lane, reason);
  const auto which = static_cast<size_t>(kernel_class);
  if (!worker.kernel_buckets.input[which].Take(worker.now))
    return Drop(worker, batch, lane, kKernelBudgets[which].over);
  worker.counters.Add(reason);
  batch.kernel_class[lane] = kernel_class;
  batch.verdict[lane] = Verdict::kKernelInput;
}

void SendByKernel(Worker& worker, Batch& batch, int lane, const IpAddress& next_stop) {
  if (!worker.kernel_buckets.forwards.Take(worker.now))
    return Drop(worker, batch, lane, kForwardsBudget.over);
  PutForKernel(worker, batch, lane, next_stop);
}

void PutForKernel(Worker& worker, Batch& batch, int lane, const IpAddress& next_stop) {
  worker.counters.Add(Counter::kKernelForwards);
  PutNextStop(*batch.packet[lane], batch.ip[lane], next_stop);
  batch.verdict[lane] = Verdict::kKernelOutput;
}

}  // namespace sluice
