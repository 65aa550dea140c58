// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/tunnel_error.h"

#include <algorithm>

#include "dataplane/net/ipv6_headers.h"
#include "dataplane/pipeline/parse_ip.h"
#include "dataplane/pipeline/rewrite_icmp.h"
#include "dataplane/pipeline/rewrite_tunnel.h"

namespace sluice {
namespace {

struct Bytes {
  uint8_t* start;
  uint32_t length;

  Bytes From(uint32_t at) const { return at <= length ? Bytes{start + at, length - at} : Bytes{nullptr, 0}; }
};

// Inner packet of a tunnel packet. Nothing: it is none, or not all of it is there.
std::optional<Bytes> InsideOf(const Worker& worker, uint8_t protocol, const Bytes& payload) {
  constexpr uint32_t kLeast = 8;
  if (payload.length < kLeast) return std::nullopt;
  if (protocol == kProtocolIpip || protocol == kProtocolIpv6) return payload;
  if (protocol == kProtocolGre) return payload.From((payload.start[0] & 0x80) != 0 ? 8 : 4);
  if (protocol != static_cast<uint8_t>(Protocol::kUdp)) return std::nullopt;
  const auto& udp = *reinterpret_cast<const UdpHeader*>(payload.start);
  const std::vector<Be16>& ports = worker.snapshot->gue_ports;
  if (std::find(ports.begin(), ports.end(), udp.destination_port) == ports.end()) return std::nullopt;
  return payload.From(sizeof(UdpHeader) + kGueHeader);
}

struct Outer {
  QuotedTunnel tunnel;
  Bytes payload;  // none if the headers are not all there
};

Outer OuterOf(uint8_t* about, uint32_t quoted) {
  Outer outer{.tunnel = {}, .payload = {nullptr, 0}};
  if (IsV6Header(about)) {
    const auto& ip = *reinterpret_cast<const Ipv6Header*>(about);
    const auto found = FindIpv6Transport(ip, quoted);
    if (!found || found->IsLaterFragment()) return outer;
    outer.tunnel.source = IpAddress::FromV6(ip.source);
    outer.tunnel.destination = IpAddress::FromV6(ip.destination);
    outer.tunnel.protocol = found->protocol;
    outer.tunnel.length = static_cast<uint16_t>(ip.payload_length.ToHost() + sizeof ip);
    outer.payload = Bytes{about, quoted}.From(found->at);
    return outer;
  }
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(about);
  outer.tunnel.source = IpAddress::FromV4(ip.source);
  outer.tunnel.destination = IpAddress::FromV4(ip.destination);
  outer.tunnel.protocol = ip.protocol;
  outer.tunnel.length = ip.total_length.ToHost();
  outer.payload = Bytes{about, quoted}.From(static_cast<uint32_t>(ip.header_length()));
  return outer;
}

// The flow of an inner packet whose ports are quoted, and are inside the length that its header claims.
bool SetInner(const Worker& worker, Batch& batch, int lane, const Bytes& inner) {
  constexpr uint32_t kPorts = 4;
  if (inner.start == nullptr || inner.length < sizeof(Ipv4Header)) return false;
  if (!IsV6Header(inner.start)) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(inner.start);
    const auto header = static_cast<uint32_t>(ip.header_length());
    const uint32_t length = std::min<uint32_t>(inner.length, ip.total_length.ToHost());
    const bool is_first = (ip.flags_and_offset.raw & kIpv4FragmentOffset.raw) == 0;
    if (inner.start[0] >> 4 != 4 || header < sizeof ip || length < header + kPorts || !is_first ||
        !IsBalanced(static_cast<Protocol>(ip.protocol))) {
      return false;
    }
    const auto& ports = *reinterpret_cast<const UdpHeader*>(inner.start + header);
    batch.tuple[lane] = FlowTuple::Of(ip.source, ip.destination, ports.source_port, ports.destination_port,
                                      static_cast<Protocol>(ip.protocol));
    batch.transport_at[lane] = static_cast<uint16_t>(header);
    batch.ip_length[lane] = ip.total_length.ToHost();
  } else {
    if (inner.length < sizeof(Ipv6Header)) return false;
    const auto& ip = *reinterpret_cast<const Ipv6Header*>(inner.start);
    const uint32_t length =
        std::min<uint32_t>(inner.length, uint32_t{ip.payload_length.ToHost()} + sizeof ip);
    const std::optional<Ipv6Transport> found = FindIpv6Transport(ip, length);
    if (!found || found->IsLaterFragment() || length < found->at + kPorts ||
        !IsBalanced(static_cast<Protocol>(found->protocol))) {
      return false;
    }
    const auto& ports = *reinterpret_cast<const UdpHeader*>(inner.start + found->at);
    SetIpv6Tuple(worker, batch, lane, {ip.source, ip.destination},
                 {ports.source_port, ports.destination_port}, static_cast<Protocol>(found->protocol));
    batch.transport_at[lane] = found->at;
    batch.ip_length[lane] = static_cast<uint16_t>(ip.payload_length.ToHost() + sizeof ip);
  }
  batch.ip[lane] = inner.start;
  return true;
}

// The other family has other words for it.
Reply ReplyOf(bool is_v6, bool inner_is_v6, const IcmpHeader& icmp) {
  const bool too_big = is_v6 ? icmp.type == 2 : icmp.type == 3 && icmp.code == 4;
  if (too_big) return Reply::kTooBig;
  if (is_v6 == inner_is_v6) return Reply::kRelayed;
  return icmp.type == (is_v6 ? 3 : 11) ? Reply::kTimeExceeded : Reply::kHostUnreachable;
}

// True if the packet that an error quotes could be one of ours: from where we send, to that real server, as
// we put packets of this flow into its tunnel. Anybody else could lower the path MTU of all clients of the
// server.
bool IsOurTunnel(const Worker& worker, const Batch& batch, int lane) {
  const DestinationId id = batch.connection[lane]->destination_id;
  const IpAddress& server = worker.destinations.address(id);
  const TunnelSpec tunnel = worker.destinations.way(id).tunnel;
  const QuotedTunnel& quoted = batch.quoted[lane];
  if (quoted.destination != server || quoted.source != worker.forwarding->SourceTowards(server) ||
      quoted.told != quoted.source ||
      quoted.protocol != TunnelProtocol(tunnel.type, batch.tuple[lane].IsV6())) {
    return false;
  }
  return tunnel.type != TunnelType::kGue ||
         (quoted.udp_destination == tunnel.port && quoted.udp_source == GueSourcePort(batch.hash[lane]));
}

}  // namespace

bool IsAboutTunnel(const Worker& worker, Batch& batch, int lane, uint8_t* about, uint32_t quoted) {
  const bool outer_is_v6 = IsV6Header(about);
  const IcmpHeader icmp = *reinterpret_cast<const IcmpHeader*>(batch.transport(lane));
  const Outer outer = OuterOf(about, quoted);
  const std::optional<Bytes> inner = InsideOf(worker, outer.tunnel.protocol, outer.payload);
  if (!inner) return false;
  QuotedTunnel tunnel = outer.tunnel;
  if (tunnel.protocol == static_cast<uint8_t>(Protocol::kUdp)) {
    const auto& udp = *reinterpret_cast<const UdpHeader*>(outer.payload.start);
    tunnel.udp_source = udp.source_port;
    tunnel.udp_destination = udp.destination_port;
  }
  tunnel.told = outer_is_v6 ? IpAddress::FromV6(batch.v6(lane).destination)
                            : IpAddress::FromV4(batch.v4(lane).destination);
  tunnel.mtu = outer_is_v6 ? uint32_t{icmp.unused.ToHost()} << 16 | icmp.mtu.ToHost() : icmp.mtu.ToHost();
  tunnel.is_checksum_right = HasSoundIcmpChecksum(batch, lane);
  if (!SetInner(worker, batch, lane, *inner)) return false;
  batch.kind[lane] = PacketKind::kTunnelError;
  batch.answer[lane] = ReplyOf(outer_is_v6, batch.tuple[lane].IsV6(), icmp);
  batch.relayed[lane] = {icmp.type, icmp.code, 0};
  batch.quoted[lane] = tunnel;
  return true;
}

void TrackTunnelError(Worker& worker, Batch& batch, int lane) {
  const Connection& connection = *batch.connection[lane];
  const DestinationId id = connection.destination_id;
  const bool is_tunnelled =
      batch.direction[lane] == Direction::kIn && connection.method() == ForwardingMethod::kTunnel;
  if (!is_tunnelled || !IsOurTunnel(worker, batch, lane))
    return GiveToKernel(worker, batch, lane, Counter::kKernelIcmp);
  const QuotedTunnel& quoted = batch.quoted[lane];
  if (!quoted.is_checksum_right) return Drop(worker, batch, lane, Counter::kDropIcmpChecksum);
  uint16_t mtu = 0;
  if (batch.answer[lane] == Reply::kTooBig) {
    const bool outer_is_v6 = !worker.destinations.address(id).IsV4();
    // Whoever has no room for a packet that fits does not tell the truth.
    if (quoted.mtu >= quoted.length) return Drop(worker, batch, lane, Counter::kTunnelErrors);
    worker.destinations.LearnPathMtu(
        id, std::max(static_cast<uint16_t>(quoted.mtu), LeastPathMtu(outer_is_v6)), worker.now);
    // A sender that lets its packets be cut need not know.
    const bool wants_to_know =
        batch.tuple[lane].IsV6() || (batch.v4(lane).flags_and_offset.raw & kIpv4DontFragment.raw) != 0;
    if (!wants_to_know) return Drop(worker, batch, lane, Counter::kTunnelErrors);
    const uint16_t overhead = TunnelOverhead(worker.destinations.way(id).tunnel, outer_is_v6);
    const uint16_t path = worker.destinations.PathMtu(id, worker.now);
    mtu = static_cast<uint16_t>(path > overhead ? path - overhead : 0);
    if (batch.tuple[lane].IsV6()) mtu = std::max(mtu, kIpv6LeastMtu);
  }
  // What is quoted of the inner packet ends where the error ends.
  rte_mbuf& packet = *batch.packet[lane];
  const uint32_t present = packet.data_len - BytesBefore(packet, batch.ip[lane]);
  batch.ip_length[lane] = static_cast<uint16_t>(std::min<uint32_t>(batch.ip_length[lane], present));
  AnswerWith(worker, batch, lane, batch.answer[lane], Counter::kTunnelErrors, mtu);
}

}  // namespace sluice
