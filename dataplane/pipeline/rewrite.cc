// Rewrite: the checks every forwarded packet must pass, the forwarding method's own rewriting, and the
// Ethernet header of the next hop.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/rewrite_icmp.h"
#include "dataplane/pipeline/rewrite_nat.h"
#include "dataplane/pipeline/rewrite_tunnel.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

void ResolveHops(const Worker& worker, Connection& connection, uint64_t flow_hash) {
  const Forwarding& forwarding = *worker.forwarding;
  connection.hops[static_cast<int>(Direction::kIn)] =
      forwarding.Resolve(IpAddress::FromV4(connection.destination), flow_hash);
  connection.hops[static_cast<int>(Direction::kOut)] =
      forwarding.Resolve(IpAddress::FromV4(connection.client), flow_hash);
  connection.forwarding_generation = forwarding.generation();
}

// The checksum of an IPv4 header whose time to live is one less: RFC 1141, with the carry added back.
void DecrementTimeToLive(Ipv4Header& ip) {
  --ip.time_to_live;
  const uint32_t sum = uint32_t{ip.checksum} + Be16::FromHost(0x0100).raw;
  ip.checksum = static_cast<uint16_t>(sum + (sum >> 16));
}

bool GoesIntoTunnel(const Batch& batch, int lane) {
  return batch.direction[lane] == Direction::kIn &&
         batch.connection[lane]->method() == ForwardingMethod::kTunnel;
}

// SCTP's covers the whole packet, and cannot be changed by what is known of a fragment.
bool CanMendChecksum(const Connection& connection, const Ipv4Header& ip) {
  return connection.protocol != Protocol::kSctp || connection.virtual_port == connection.destination_port ||
         (ip.flags_and_offset.raw & kIpv4MoreFragmentsOrOffset.raw) == 0;
}

// The outer header's source, looked up once for each destination and generation of routes.
Be32 TunnelSource(Worker& worker, const Connection& connection) {
  Worker::TunnelSource& known = worker.tunnel_sources[connection.destination_id];
  if (known.is_set && known.generation == worker.forwarding->generation()) return known.address;
  const IpAddress source = worker.forwarding->SourceTowards(IpAddress::FromV4(connection.destination));
  known = {worker.forwarding->generation(), source.IsV4() ? source.V4() : Be32{}, true};
  return known.address;
}

// False: the packet goes no further.
bool EnterTunnel(Worker& worker, Batch& batch, int lane, const TunnelSpec& tunnel) {
  const Connection& connection = *batch.connection[lane];
  const Be32 source = TunnelSource(worker, connection);
  if (source == Be32{}) {
    Drop(worker, batch, lane, Counter::kDropNoSource);
    return false;
  }
  Ipv4Header* outer = Encapsulate(tunnel,
                                  {.source = source,
                                   .destination = connection.destination,
                                   .flow_hash = batch.hash[lane],
                                   .identification = worker.identification++},
                                  *batch.ip[lane], *batch.packet[lane]);
  if (outer == nullptr) {
    Drop(worker, batch, lane, Counter::kDropNoHeadroom);
    return false;
  }
  batch.ip[lane] = outer;
  return true;
}

// An error is never about an error, nor about a fragment other than the first (RFC 1122, 3.2.2).
bool MayBeAnswered(const Batch& batch, int lane) { return batch.kind[lane] == PacketKind::kFlow; }

bool IsTooLarge(const Batch& batch, int lane, const NextHop& hop, uint16_t overhead) {
  return hop.kind == NextHopKind::kWire && batch.ip_length[lane] + overhead > hop.mtu;
}

// What every forwarding method must do first. False: the packet goes no further.
bool MayPass(Worker& worker, Batch& batch, int lane, const NextHop& hop, uint16_t overhead) {
  Ipv4Header& ip = *batch.ip[lane];
  if (hop.kind == NextHopKind::kNoRoute) {
    Drop(worker, batch, lane, Counter::kDropNoRoute);
    return false;
  }
  if (ip.time_to_live <= 1) {
    if (MayBeAnswered(batch, lane)) {
      AnswerWith(worker, batch, lane, Reply::kTimeExceeded, Counter::kDropTtlExpired);
    } else {
      Drop(worker, batch, lane, Counter::kDropTtlExpired);
    }
    return false;
  }
  DecrementTimeToLive(ip);
  const bool may_be_split = !(ip.flags_and_offset.raw & kIpv4DontFragment.raw);
  if (!IsTooLarge(batch, lane, hop, overhead) || may_be_split) return true;
  if (MayBeAnswered(batch, lane)) {
    AnswerWith(worker, batch, lane, Reply::kFragmentationNeeded, Counter::kDropExceedsMtu,
               static_cast<uint16_t>(hop.mtu - overhead));
  } else {
    Drop(worker, batch, lane, Counter::kDropExceedsMtu);
  }
  return false;
}

void RewriteLane(Worker& worker, Batch& batch, int lane) {
  Connection& connection = *batch.connection[lane];
  if (connection.forwarding_generation != worker.forwarding->generation())
    ResolveHops(worker, connection, batch.hash[lane]);
  const Direction direction = batch.direction[lane];
  const NextHop& hop = worker.forwarding->hop(connection.hops[static_cast<int>(direction)]);
  if (hop.kind == NextHopKind::kHost && !connection.IsNat()) {
    GiveToKernel(worker, batch, lane, Counter::kKernelLocal);
    return;
  }
  const bool tunnelled = GoesIntoTunnel(batch, lane);
  TunnelSpec tunnel;
  if (tunnelled) tunnel = worker.destinations.way(connection.destination_id).tunnel;
  const uint16_t overhead = tunnelled ? TunnelOverhead(tunnel) : uint16_t{0};
  if (!MayPass(worker, batch, lane, hop, overhead)) return;
  if (tunnelled) {
    if (!EnterTunnel(worker, batch, lane, tunnel)) return;
  } else if (connection.IsNat() && batch.IsAboutFlow(lane)) {
    RewriteIcmpError(connection, direction, *batch.ip[lane], *batch.packet[lane]);
  } else if (connection.IsNat() && !CanMendChecksum(connection, *batch.ip[lane])) {
    Drop(worker, batch, lane, Counter::kDropFragmentSctp);
    return;
  } else if (connection.IsNat() && batch.IsLaterFragment(lane)) {
    RewriteNatAddress(connection, direction, *batch.ip[lane]);
  } else if (connection.IsNat()) {
    RewriteNat(connection, direction, *batch.ip[lane], *batch.packet[lane]);
  }
  if (hop.kind != NextHopKind::kWire) {
    worker.counters.Add(Counter::kKernelForwards);
    const bool to_server = direction == Direction::kIn;
    batch.packet[lane]->hash.usr = to_server ? connection.destination.raw : connection.client.raw;
    batch.verdict[lane] = Verdict::kKernelOutput;
    return;
  }
  auto& ethernet = *rte_pktmbuf_mtod(batch.packet[lane], EthernetHeader*);
  ethernet = {hop.destination, hop.source, kEtherTypeIpv4};
  batch.hop[lane] = &hop;
  batch.verdict[lane] = IsTooLarge(batch, lane, hop, overhead) ? Verdict::kSplit : Verdict::kWire;
}

}  // namespace

void Rewrite(Worker& worker, Batch& batch, LaneMask lanes) {
  for (int lane : Lanes(lanes)) RewriteLane(worker, batch, lane);
}

}  // namespace sluice
