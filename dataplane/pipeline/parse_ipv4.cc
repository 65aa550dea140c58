// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "dataplane/pipeline/parse_ip.h"
#include "dataplane/pipeline/tunnel_error.h"

namespace sluice {
namespace {

bool IsFirstFragment(const Ipv4Header& ip) {
  return (ip.flags_and_offset.raw & kIpv4MoreFragmentsOrOffset.raw) == kIpv4MoreFragments.raw;
}

// 240.0.0.0/4: the limited broadcast address, and addresses that no service has.
bool IsReserved(Be32 address) { return (address.raw & 0xf0) == 0xf0; }

// An ICMP error quotes the packet it is about: its IP header, and of the transport at least eight bytes.
PacketKind ParseIcmp(const Worker& worker, Batch& batch, int lane, uint8_t* icmp, uint32_t length) {
  constexpr uint32_t kLeastTransport = 8;
  const Ipv4Header& ip = batch.v4(lane);
  if (length >= sizeof(IcmpHeader) && reinterpret_cast<const IcmpHeader*>(icmp)->type == kIcmpEcho &&
      ip.header_length() == sizeof ip && !batch.IsFirstFragment(lane)) {
    batch.tuple[lane] = FlowTuple::Of(ip.source, ip.destination, Be16{}, Be16{}, Protocol::kIcmp);
    return PacketKind::kEcho;
  }
  if (length < sizeof(IcmpHeader) + sizeof(Ipv4Header)) return PacketKind::kIcmp;
  if (!IsIcmpError(reinterpret_cast<const IcmpHeader*>(icmp)->type)) return PacketKind::kIcmp;
  const auto& about = *reinterpret_cast<const Ipv4Header*>(icmp + sizeof(IcmpHeader));
  const uint32_t header = static_cast<uint32_t>(about.header_length());
  const auto protocol = static_cast<Protocol>(about.protocol);
  const bool is_sound = about.version_and_length >> 4 == 4 && header >= sizeof(Ipv4Header) &&
                        length >= sizeof(IcmpHeader) + header + kLeastTransport;
  const bool is_first = (about.flags_and_offset.raw & kIpv4FragmentOffset.raw) == 0;
  if (is_sound && is_first &&
      IsAboutTunnel(worker, batch, lane, icmp + sizeof(IcmpHeader), length - uint32_t{sizeof(IcmpHeader)}))
    return PacketKind::kTunnelError;
  if (!is_sound || !is_first || !IsBalanced(protocol)) return PacketKind::kIcmp;
  const auto& ports = *reinterpret_cast<const UdpHeader*>(icmp + sizeof(IcmpHeader) + header);
  batch.tuple[lane] =
      FlowTuple::Of(about.destination, about.source, ports.destination_port, ports.source_port, protocol);
  batch.signal[lane] = 0;
  return PacketKind::kIcmpError;
}

bool ParseLaterFragment(Worker& worker, Batch& batch, int lane) {
  const Ipv4Header& ip = batch.v4(lane);
  const auto protocol = static_cast<Protocol>(ip.protocol);
  if (!IsBalanced(protocol)) {
    batch.kind[lane] = PacketKind::kFragment;
    return true;
  }
  const auto ports = PortsOfLaterFragment(worker, batch, lane, FragmentTable::Key::Of(ip));
  if (!ports) return false;
  batch.tuple[lane] = FlowTuple::Of(ip.source, ip.destination, ports->source, ports->destination, protocol);
  batch.signal[lane] = 0;
  batch.kind[lane] = PacketKind::kLaterFragment;
  return true;
}

}  // namespace

bool ParseIpv4(Worker& worker, Batch& batch, int lane, const IpBytes& bytes) {
  if (bytes.contiguous < sizeof(Ipv4Header)) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(bytes.start);
  const uint32_t header = ip.header_length();
  if (ip.version_and_length >> 4 != 4 || header < sizeof(Ipv4Header)) {
    Drop(worker, batch, lane, Counter::kDropIpHeader);
    return false;
  }
  const uint32_t total = ip.total_length.ToHost();
  if (total < header) {
    Drop(worker, batch, lane, Counter::kDropIpLength);
    return false;
  }
  if (bytes.total < total || bytes.contiguous < header) {
    Drop(worker, batch, lane, Counter::kDropIpTruncated);
    return false;
  }
  if (!IsHeaderSound(*batch.packet[lane], ip)) {
    Drop(worker, batch, lane, Counter::kDropIpChecksum);
    return false;
  }
  if (!HasSoundAddresses(worker, batch, lane, ip.source, ip.destination)) return false;
  if (IsReserved(ip.destination)) {
    batch.kind[lane] = PacketKind::kGroupAddress;
    return true;
  }
  batch.ip[lane] = bytes.start;
  batch.ip_length[lane] = static_cast<uint16_t>(total);
  batch.transport_at[lane] = static_cast<uint16_t>(header);
  if ((ip.flags_and_offset.raw & kIpv4FragmentOffset.raw) != 0)
    return ParseLaterFragment(worker, batch, lane);
  const bool is_fragment = IsFirstFragment(ip);
  if (is_fragment) batch.first_fragments |= LaneBit(lane);
  const TransportBytes transport = {bytes.start + header, std::min(total - header, bytes.contiguous - header),
                                    total - header, is_fragment};
  const auto protocol = static_cast<Protocol>(ip.protocol);
  if (!IsBalanced(protocol)) {
    batch.kind[lane] = protocol == Protocol::kIcmp
                           ? ParseIcmp(worker, batch, lane, bytes.start + header, transport.contiguous)
                           : PacketKind::kOtherProtocol;
    return true;
  }
  if (!ParseTransport(worker, batch, lane, protocol, transport)) return false;
  const auto& ports = *reinterpret_cast<const UdpHeader*>(transport.start);
  batch.tuple[lane] =
      FlowTuple::Of(ip.source, ip.destination, ports.source_port, ports.destination_port, protocol);
  batch.kind[lane] = PacketKind::kFlow;
  if (is_fragment) {
    worker.fragments.Learn(FragmentTable::Key::Of(ip), {ports.source_port, ports.destination_port},
                           worker.now);
  }
  return true;
}

}  // namespace sluice
