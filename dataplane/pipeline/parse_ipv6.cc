// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "dataplane/net/ipv6_headers.h"
#include "dataplane/pipeline/parse_ip.h"
#include "dataplane/pipeline/tunnel_error.h"

namespace sluice {
namespace {

PacketKind ParseIcmpv6(const Worker& worker, Batch& batch, int lane, uint8_t* icmp, uint32_t length) {
  constexpr uint32_t kLeastTransport = 8;
  const Ipv6Header& ip = batch.v6(lane);
  if (length >= sizeof(IcmpHeader) && reinterpret_cast<const IcmpHeader*>(icmp)->type == kIcmpv6Echo &&
      batch.transport_at[lane] == sizeof ip) {
    SetIpv6Tuple(worker, batch, lane, {ip.source, ip.destination}, {}, Protocol::kIcmpv6);
    return PacketKind::kEcho;
  }
  if (length < sizeof(IcmpHeader) + sizeof(Ipv6Header)) return PacketKind::kIcmp;
  if (!IsIcmpv6Error(reinterpret_cast<const IcmpHeader*>(icmp)->type)) return PacketKind::kIcmp;
  const auto& about = *reinterpret_cast<const Ipv6Header*>(icmp + sizeof(IcmpHeader));
  const uint32_t quoted = length - uint32_t{sizeof(IcmpHeader)};
  if (about.version() != 6) return PacketKind::kIcmp;
  if (IsAboutTunnel(worker, batch, lane, icmp + sizeof(IcmpHeader), quoted)) return PacketKind::kTunnelError;
  const std::optional<Ipv6Transport> found = FindIpv6Transport(about, quoted);
  if (!found || found->IsLaterFragment() || !IsBalanced(static_cast<Protocol>(found->protocol)) ||
      quoted < found->at + kLeastTransport) {
    return PacketKind::kIcmp;
  }
  const auto& ports =
      *reinterpret_cast<const UdpHeader*>(reinterpret_cast<const uint8_t*>(&about) + found->at);
  SetIpv6Tuple(worker, batch, lane, {about.destination, about.source},
               {ports.destination_port, ports.source_port}, static_cast<Protocol>(found->protocol));
  batch.signal[lane] = 0;
  return PacketKind::kIcmpError;
}

bool ParseLaterFragment(Worker& worker, Batch& batch, int lane, const Ipv6Transport& found) {
  const Ipv6Header& ip = batch.v6(lane);
  const auto protocol = static_cast<Protocol>(found.protocol);
  if (!IsBalanced(protocol)) {
    batch.kind[lane] = PacketKind::kFragment;
    return true;
  }
  const auto ports =
      PortsOfLaterFragment(worker, batch, lane, FragmentTable::Key::Of(ip, found.identification()));
  if (!ports) return false;
  SetIpv6Tuple(worker, batch, lane, {ip.source, ip.destination}, *ports, protocol);
  batch.signal[lane] = 0;
  batch.kind[lane] = PacketKind::kLaterFragment;
  return true;
}

}  // namespace

void SetIpv6Tuple(const Worker& worker, Batch& batch, int lane, const FlowAddresses& addresses,
                  const FragmentTable::Ports& ports, Protocol protocol) {
  batch.addresses[lane] = addresses;
  batch.tuple[lane] = FlowTuple::Of(AddressWord(addresses.source, worker.secret),
                                    AddressWord(addresses.destination, worker.secret), ports.source,
                                    ports.destination, protocol, true);
}

bool ParseIpv6(Worker& worker, Batch& batch, int lane, const IpBytes& bytes) {
  if (bytes.contiguous < sizeof(Ipv6Header)) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(bytes.start);
  if (ip.version() != 6) {
    Drop(worker, batch, lane, Counter::kDropIpHeader);
    return false;
  }
  const uint32_t total = ip.payload_length.ToHost() + uint32_t{sizeof ip};
  if (total > UINT16_MAX) {
    Drop(worker, batch, lane, Counter::kDropIpLength);
    return false;
  }
  if (bytes.total < total) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  if (!HasSoundAddresses(worker, batch, lane, ip.source, ip.destination)) return false;
  const uint32_t contiguous = std::min(total, bytes.contiguous);
  const std::optional<Ipv6Transport> found = FindIpv6Transport(ip, contiguous);
  // A packet that still has stops to make is for whoever routes it.
  if (!found || found->is_routed_on) {
    batch.kind[lane] = PacketKind::kIpv6Headers;
    return true;
  }
  batch.ip[lane] = bytes.start;
  batch.ip_length[lane] = static_cast<uint16_t>(total);
  batch.transport_at[lane] = found->at;
  if (found->IsLaterFragment()) return ParseLaterFragment(worker, batch, lane, *found);
  const auto protocol = static_cast<Protocol>(found->protocol);
  const TransportBytes transport = {bytes.start + found->at, contiguous - found->at, total - found->at,
                                    found->IsFirstFragment()};
  if (!IsBalanced(protocol)) {
    batch.kind[lane] = protocol == Protocol::kIcmpv6
                           ? ParseIcmpv6(worker, batch, lane, bytes.start + found->at, transport.contiguous)
                           : PacketKind::kOtherProtocol;
    return true;
  }
  if (!ParseTransport(worker, batch, lane, protocol, transport)) return false;
  const auto& ports = *reinterpret_cast<const UdpHeader*>(transport.start);
  SetIpv6Tuple(worker, batch, lane, {ip.source, ip.destination}, {ports.source_port, ports.destination_port},
               protocol);
  batch.kind[lane] = PacketKind::kFlow;
  if (found->IsFirstFragment()) {
    batch.first_fragments |= LaneBit(lane);
    worker.fragments.Learn(FragmentTable::Key::Of(ip, found->identification()),
                           {ports.source_port, ports.destination_port}, worker.now);
  }
  return true;
}

}  // namespace sluice
