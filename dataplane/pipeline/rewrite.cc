// Rewrite: the checks every forwarded packet must pass, the forwarding method's own rewriting, and the
// Ethernet header of the next hop.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include "dataplane/net/checksum.h"

#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/rewrite_icmp.h"
#include "dataplane/pipeline/rewrite_nat.h"
#include "dataplane/pipeline/rewrite_tunnel.h"
#include "dataplane/pipeline/segments.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

IpAddress ClientOf(const Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  return connection.IsV6() ? IpAddress::FromV6(batch.connection_addresses[lane]->client)
                           : IpAddress::FromV4(connection.client);
}

void ResolveHops(const Worker& worker, const Batch& batch, int lane) {
  const Forwarding& forwarding = *worker.forwarding;
  Connection& connection = *batch.connection[lane];
  const uint64_t flow_hash = batch.hash[lane];
  connection.hops[static_cast<int>(Direction::kIn)] =
      forwarding.Resolve(worker.destinations.address(connection.destination_id), flow_hash);
  connection.hops[static_cast<int>(Direction::kOut)] = forwarding.Resolve(ClientOf(batch, lane), flow_hash);
  connection.forwarding_generation = forwarding.generation();
}

bool GoesIntoTunnel(const Batch& batch, int lane) {
  return batch.direction[lane] == Direction::kIn &&
         batch.connection[lane]->method() == ForwardingMethod::kTunnel;
}

// SCTP's covers the whole packet, and cannot be changed by what is known of a fragment.
bool CanMendChecksum(const Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  return connection.protocol != Protocol::kSctp || !PortsChange(connection) ||
         !(batch.IsFirstFragment(lane) || batch.IsLaterFragment(lane));
}

TunnelPacket InTunnel(Worker& worker, const Batch& batch, int lane) {
  return {.flow_hash = batch.hash[lane],
          .identification = worker.NextIdentification(),
          .may_be_split = !worker.settings.pmtu_disc};
}

Worker::Tunnel& TunnelTo(Worker& worker, DestinationId id) {
  Worker::Tunnel& known = worker.tunnels[id];
  const uint32_t generation = worker.forwarding->generation();
  const uint32_t life = worker.destinations.life(id);
  if (!known.IsOf(generation, life)) {
    known = {.source = worker.forwarding->SourceTowards(worker.destinations.address(id)),
             .generation = generation,
             .life = life,
             .is_set = true};
  }
  return known;
}

// False: the packet goes no further.
bool EnterTunnel(Worker& worker, Batch& batch, int lane, const TunnelSpec& tunnel) {
  const DestinationId id = batch.connection[lane]->destination_id;
  const IpAddress& destination = worker.destinations.address(id);
  Worker::Tunnel& known = TunnelTo(worker, id);
  const IpAddress& source = known.source;
  if (source.IsUnspecified() || source.IsV4() != destination.IsV4()) {
    Drop(worker, batch, lane, Counter::kDropNoSource);
    return false;
  }
  const TunnelEnds ends = {source, destination, InTunnel(worker, batch, lane)};
  const bool is_v6 = batch.plain_v6 & LaneBit(lane);
  if (batch.plain & LaneBit(lane)) {
    const TunnelHeaders::InnerPackets inner = {.are_v6 = is_v6, .may_be_split = ends.packet.may_be_split};
    if (!known.headers.Fit(tunnel, inner)) known.headers = {tunnel, source, destination, inner};
    known.fits = worker.configuration;
  }
  if (Encapsulate(tunnel, ends, batch, lane)) return true;
  Drop(worker, batch, lane, Counter::kDropNoHeadroom);
  return false;
}

// An error is never about an error, nor about a fragment other than the first (RFC 1122, 3.2.2).
bool MayBeAnswered(const Batch& batch, int lane) { return batch.kind[lane] == PacketKind::kFlow; }

bool IsTooLarge(const Batch& batch, int lane, const NextHop& hop, uint16_t mtu, uint16_t overhead) {
  return hop.kind == NextHopKind::kWire && batch.ip_length[lane] + overhead > mtu;
}

// IPv4 without "don't fragment" may; IPv6 only inside another packet, and only if it cannot be smaller.
bool MayBeSplit(const Worker& worker, Batch& batch, int lane, bool tunnelled) {
  if (tunnelled && !worker.settings.pmtu_disc) return true;
  if (batch.tuple[lane].IsV6()) return tunnelled && batch.ip_length[lane] <= kIpv6LeastMtu;
  return !(batch.v4(lane).flags_and_offset.raw & kIpv4DontFragment.raw);
}

// The sender may be told.
void RefuseToPass(Worker& worker, Batch& batch, int lane, Reply reply, Counter reason, uint16_t mtu = 0) {
  if (MayBeAnswered(batch, lane)) {
    AnswerWith(worker, batch, lane, reply, reason, mtu);
  } else {
    Drop(worker, batch, lane, reason);
  }
}

inline bool TakeHopOf(Batch& batch, int lane, bool is_v6) {
  return is_v6 ? TakeHop(batch.v6(lane)) : TakeHop(batch.v4(lane));
}

// What every forwarding method must do first. False: the packet goes no further.
bool MayPass(Worker& worker, Batch& batch, int lane, const NextHop& hop, uint16_t mtu, uint16_t overhead) {
  if (hop.kind == NextHopKind::kNoRoute) {
    Drop(worker, batch, lane, Counter::kDropNoRoute);
    return false;
  }
  const bool is_v6 = batch.tuple[lane].IsV6();
  if (!TakeHopOf(batch, lane, is_v6)) {
    RefuseToPass(worker, batch, lane, Reply::kTimeExceeded, Counter::kDropTtlExpired);
    return false;
  }
  if (!IsTooLarge(batch, lane, hop, mtu, overhead) || MayBeSplit(worker, batch, lane, overhead > 0))
    return true;
  const auto room = static_cast<uint16_t>(mtu > overhead ? mtu - overhead : 0);
  RefuseToPass(worker, batch, lane, Reply::kTooBig, Counter::kDropExceedsMtu,
               is_v6 ? std::max(room, kIpv6LeastMtu) : room);
  return false;
}

// False: the packet goes no further.
bool Translate(Worker& worker, Batch& batch, int lane) {
  if (batch.IsAboutFlow(lane)) {
    RewriteIcmpError(batch, lane);
  } else if (!CanMendChecksum(batch, lane)) {
    Drop(worker, batch, lane, Counter::kDropFragmentSctp);
    return false;
  } else if (batch.IsLaterFragment(lane)) {
    RewriteNatAddresses(batch, lane);
  } else {
    RewriteNat(batch, lane);
  }
  return true;
}

// Puts so many bytes in front of a packet that has room for them, if its way takes it then. False: nothing
// was done.
inline bool Lengthen(Worker& worker, Batch& batch, int lane, const NextHop& hop, uint16_t overhead,
                     bool is_v6) {
  rte_mbuf& packet = *batch.packet[lane];
  const uint32_t length = batch.ip_length[lane] + overhead;
  if (length > hop.mtu || packet.data_off < overhead + kMostInFront) return false;
  if (packet.nb_segs > 1 && packet.pkt_len != sizeof(EthernetHeader) + batch.ip_length[lane]) return false;
  if (length > LeastPathMtu(false) &&  // asking costs a cache line
      length > worker.destinations.PathMtu(batch.connection[lane]->destination_id, worker.now))
    return false;
  if (!TakeHopOf(batch, lane, is_v6)) return false;
  packet.data_off -= overhead;
  if (packet.nb_segs == 1) [[likely]] {  // without the padding of a short frame
    packet.pkt_len = static_cast<uint32_t>(sizeof(EthernetHeader)) + length;
    packet.data_len = static_cast<uint16_t>(packet.pkt_len);
  } else {
    packet.data_len += overhead;
    packet.pkt_len += overhead;
  }
  return true;
}

// Not inline, nor the next: beside each other and the other ways none would have registers enough.
[[gnu::noinline]] bool EnterAnyTunnel(Worker& worker, Batch& batch, int lane, const NextHop& hop,
                                      const TunnelHeaders& headers) {
  const bool is_v6 = batch.plain_v6 & LaneBit(lane);
  if (!headers.AreFor(is_v6) || !Lengthen(worker, batch, lane, hop, headers.length(), is_v6)) return false;
  headers.PutOn(InTunnel(worker, batch, lane), batch, lane);
  return true;
}

// False: nothing was done.
[[gnu::noinline]] bool EnterPlainTunnel(Worker& worker, Batch& batch, int lane, const NextHop& hop) {
  const Worker::Tunnel& tunnel = worker.tunnels[batch.connection[lane]->destination_id];
  if (tunnel.fits != worker.configuration) return false;
  if (!tunnel.headers.AreIpv4InIpv4() || (batch.plain_v6 & LaneBit(lane)))
    return EnterAnyTunnel(worker, batch, lane, hop, tunnel.headers);
  if (!Lengthen(worker, batch, lane, hop, sizeof(Ipv4Header), false)) return false;
  tunnel.headers.PutOnIpv4(worker.NextIdentification(), batch, lane);
  return true;
}

// Not inline: IPv4 needs the registers.
[[gnu::noinline]] bool RewritePlainNatV6(Batch& batch, int lane) {
  return RewritePlainNat(*batch.connection[lane], *batch.connection_addresses[lane], batch.direction[lane],
                         batch.v6(lane));
}

// Almost every packet, in few steps: a plain one to a known neighbour over an untagged link that takes it.
// False: nothing was done.
bool RewritePlain(Worker& worker, const NextHop* hops, uint32_t generation, Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  const Direction direction = batch.direction[lane];
  if (connection.forwarding_generation != generation) return false;
  const NextHop& hop = hops[connection.hops[static_cast<int>(direction)]];
  // With what the frame has behind the packet, which may come from a link that takes more.
  if (hop.kind != NextHopKind::kWire || hop.vlan != 0 ||
      batch.packet[lane]->pkt_len > hop.mtu + uint32_t{sizeof(EthernetHeader)})
    return false;
  const bool is_v6 = batch.plain_v6 & LaneBit(lane);
  if (connection.IsNat()) {
    if (!(is_v6 ? RewritePlainNatV6(batch, lane) : RewritePlainNat(connection, direction, batch.v4(lane))))
      return false;
  } else if (GoesIntoTunnel(batch, lane)) {
    if (!EnterPlainTunnel(worker, batch, lane, hop)) return false;
  } else if (!TakeHopOf(batch, lane, is_v6)) {
    return false;
  }
  std::memcpy(batch.ip[lane] - sizeof(EthernetHeader), &hop, sizeof hop.destination + sizeof hop.source);
  batch.hop[lane] = &hop;
  batch.verdict[lane] = Verdict::kWire;
  return true;
}

void RewriteLane(Worker& worker, Batch& batch, int lane) {
  Connection& connection = *batch.connection[lane];
  if (connection.forwarding_generation != worker.forwarding->generation()) ResolveHops(worker, batch, lane);
  const Direction direction = batch.direction[lane];
  const NextHop& hop = worker.forwarding->hop(connection.hops[static_cast<int>(direction)]);
  // A real server that is this host: the kernel's IPVS, or whoever listens at the virtual address, goes on.
  if (hop.kind == NextHopKind::kHost && (direction == Direction::kIn || !connection.IsNat())) {
    GiveToKernel(worker, batch, lane, Counter::kKernelLocal);
    return;
  }
  const bool tunnelled = GoesIntoTunnel(batch, lane);
  const uint32_t in_front = BytesBefore(*batch.packet[lane], batch.ip[lane]);
  // Padding behind the packet stays out of tunnels, and makes no packet too large for a link.
  if (tunnelled || batch.packet[lane]->pkt_len > in_front + hop.mtu)
    CutTo(*batch.packet[lane], in_front + batch.ip_length[lane]);
  TunnelSpec tunnel;
  uint16_t overhead = 0;
  uint16_t mtu = hop.mtu;
  if (tunnelled) {
    const DestinationId id = connection.destination_id;
    tunnel = worker.destinations.way(id).tunnel;
    overhead = TunnelOverhead(tunnel, !worker.destinations.address(id).IsV4());
    mtu = std::min(mtu, worker.destinations.PathMtu(id, worker.now));
  }
  if (!MayPass(worker, batch, lane, hop, mtu, overhead)) return;
  if (tunnelled && !EnterTunnel(worker, batch, lane, tunnel)) return;
  if (connection.IsNat() && !Translate(worker, batch, lane)) return;
  if (hop.kind == NextHopKind::kWire) {
    batch.hop[lane] = &hop;
    batch.mtu[lane] = mtu;
    batch.verdict[lane] = IsTooLarge(batch, lane, hop, mtu, 0) ? Verdict::kSplit : Verdict::kWire;
    PutEthernet(*batch.packet[lane], batch.ip[lane], hop);
    return;
  }
  const bool to_server = direction == Direction::kIn;
  SendByKernel(worker, batch, lane,
               to_server ? worker.destinations.address(connection.destination_id) : ClientOf(batch, lane));
}

}  // namespace

void Rewrite(Worker& worker, Batch& batch, LaneMask lanes) {
  LaneMask rest = lanes & ~batch.plain;
  const NextHop* hops = &worker.forwarding->hop(0);
  const uint32_t generation = worker.forwarding->generation();
  for (int lane : Lanes(lanes & batch.plain)) {
    if (!RewritePlain(worker, hops, generation, batch, lane)) rest |= LaneBit(lane);
  }
  for (int lane : Lanes(rest)) RewriteLane(worker, batch, lane);
}

}  // namespace sluice
